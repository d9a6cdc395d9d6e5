-- The corpora on which a model's activations are shown, in the order of their names.
select *
from corpora c
where model = $model
    and exists (
        from ingest_runs r
        where r.model = c.model and r.corpus = c.corpus
            and r.stage = 'activations' and r.status = 'finished'
    )
order by corpus
