-- The stages of which a model's rows are shown.
select distinct stage
from ingest_runs
where model = $model and status = 'finished'
order by stage
