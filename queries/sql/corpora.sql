-- The corpora on which rows of a stage are shown, of each model the largest first, then by name.
select *
from corpora c
where ($model is null or model = $model)
    and exists (
        from ingest_runs r
        where r.model = c.model and r.corpus = c.corpus
            and r.stage = $stage and r.status = 'finished'
    )
order by model, n_tokens desc, corpus
