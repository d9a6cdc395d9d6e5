-- The corpora on which a model's activations are shown, the largest first, then by name.
select *
from corpora c
where model = $model
    and exists (
        from ingest_runs r
        where r.model = c.model and r.corpus = c.corpus
            and r.stage = 'activations' and r.status = 'finished'
    )
order by n_tokens desc, corpus
