-- What the rule for functional roles compared with when it gave a model's roles.
select
    (notes->>'$.partition_variance')::float as partition_variance,
    (notes->>'$.kurtosis_cutoff')::float as kurtosis_cutoff,
    (notes->>'$.entropy_cutoff')::double as entropy_cutoff,
    (parameters->>'$.attention_cutoff')::double as attention_cutoff
from ingest_runs
where model = $model and stage = 'roles' and status = 'finished'
order by run_id desc
limit 1
