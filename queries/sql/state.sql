-- A digest of what the entries hold: their finished runs, with the digests of their rows.
select md5(
    coalesce(
        string_agg(
            concat_ws('|', run_id, model, corpus, stage, status, finished_at, parameters, notes),
            '|' order by run_id, model
        ),
        ''
    )
) as state
from ingest_runs
