-- The corpora on which a model's activations are shown, in the order of their names.
select * from corpora where model = $model order by corpus
