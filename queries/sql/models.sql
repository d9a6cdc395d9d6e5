-- One row per entry, with its finished stages in the order in which they ran.
select
    m.model,
    m.source,
    m.family,
    m.weights,
    m.n_layers,
    m.d_mlp,
    case
        when m.n_experts is null then m.n_layers * m.d_mlp
        else (m.n_layers - len(m.dense_layers)) * (m.n_experts * m.d_expert + m.d_shared)
            + len(m.dense_layers) * m.d_dense
    end as neurons,
    (
        select string_agg(
            r.stage || coalesce(' (' || r.corpus || ')', '')
                || case when r.n_runs > 1 then ' x ' || r.n_runs else '' end,
            ', ' order by r.started_at, r.run_id
        )
        from (
            select
                stage, corpus,
                min(started_at) as started_at, min(run_id) as run_id, count(*) as n_runs
            from ingest_runs
            where model = m.model and status = 'finished'
            group by stage, corpus
        ) r
    ) as stages,
    m.ingested_at::date as ingested
from models m
order by coalesce(m.series, m.model), m.step nulls first, m.model
