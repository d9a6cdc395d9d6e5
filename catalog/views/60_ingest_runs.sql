-- What somebody wrote that is no JSON is NULL; `verify` says that it was changed.
create or replace view ingest_runs as
select
    r.run_id,
    m.alias as model,
    mc.name as corpus,
    r.stage,
    r.stage_version,
    r.subject,
    r.status,
    r.started_at,
    r.finished_at,
    r.device,
    r.dtype,
    try_cast(r.parameters as json) as parameters,
    try_cast(r.versions as json) as versions,
    try_cast(r.notes as json) as notes,
    r.n_units,
    r.n_done,
    r.sample_code
from ingest_run r
join model m on m.model_id = r.model_id
left join model_corpus mc on mc.model_id = r.model_id and mc.corpus_id = r.corpus_id;
