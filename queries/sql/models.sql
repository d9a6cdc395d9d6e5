-- One row per entry, with its finished stages in the order in which they run.
select
    m.model,
    m.source,
    m.family,
    m.weights,
    m.n_layers,
    m.d_mlp,
    m.n_layers * m.d_mlp as neurons,
    (
        select string_agg(
            r.stage || coalesce(' (' || r.corpus || ')', ''), ', ' order by r.started_at, r.run_id
        )
        from ingest_runs r
        where r.model = m.model and r.status = 'finished'
    ) as stages,
    m.ingested_at::date as ingested
from models m
order by m.model
