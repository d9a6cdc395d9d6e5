-- Stages of a list that the model, or every model, lacks, each with an entry that could have it.
select need.stage, m.model, m.source, m.weights
from (select unnest($needs::varchar[]) as stage) need
cross join (
    from models
    where $model is null or model = $model
    order by model
    limit 1
) m
where not exists (
    from ingest_runs r
    where r.stage = need.stage
        and r.status = 'finished'
        and ($model is null or r.model = $model)
)
order by need.stage
