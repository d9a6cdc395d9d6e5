create or replace view ingest_runs as
select
    r.run_id,
    m.alias as model,
    mc.name as corpus,
    r.stage,
    r.status,
    r.started_at,
    r.finished_at,
    r.device,
    r.dtype,
    r.parameters::json as parameters,
    r.versions::json as versions,
    r.notes::json as notes,
    r.n_units,
    r.n_done
from ingest_run r
join model m on m.model_id = r.model_id
left join model_corpus mc on mc.model_id = r.model_id and mc.corpus_id = r.corpus_id;

comment on view ingest_runs is 'One row per stage of an ingest: what was run, where, with which versions.';
comment on column ingest_runs.run_id is 'number of the run';
comment on column ingest_runs.model is 'alias of the entry';
comment on column ingest_runs.corpus is 'corpus of an activations run, else NULL';
comment on column ingest_runs.stage is 'weights, vocab, roles or activations';
comment on column ingest_runs.started_at is 'when it began, UTC';
comment on column ingest_runs.finished_at is 'when its rows were shown, UTC';
comment on column ingest_runs.device is 'cpu or cuda';
comment on column ingest_runs.dtype is 'of the computation';
comment on column ingest_runs.parameters is 'what the rows depend on beside the checkpoint';
comment on column ingest_runs.versions is 'of the software that made them';
comment on column ingest_runs.status is 'running, loading, finished, superseded or abandoned';
comment on column ingest_runs.n_units is 'units of work (layers, batches) of the stage';
comment on column ingest_runs.n_done is 'units in the catalog';
comment on column ingest_runs.notes is 'counts worth keeping: NULL cosines, zero columns, seconds';
