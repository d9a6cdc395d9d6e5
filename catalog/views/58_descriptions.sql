-- Of one key the latest: an import may bring what another catalog, or an older file, had already.
create or replace view descriptions as
select
    m.alias as model,
    d.layer,
    d.neuron,
    d.sign_case,
    d.description,
    d.explainer,
    d.scorer,
    d.score,
    d.source,
    d.source_key,
    r.finished_at as imported_at
from description d
join current_rows c on c.run_id = d.run_id and c.bulk_table = 'description'
join ingest_run r on r.run_id = d.run_id
join model m on m.model_id = c.model_id
qualify row_number() over (
    partition by m.alias, d.layer, d.neuron, d.sign_case, d.source, d.source_key
    order by r.finished_at desc, d.run_id desc
) = 1;
