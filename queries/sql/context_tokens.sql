-- Token ids of some contexts of a model's corpus.
select x.context_id, x.token_ids
from context x
join model_corpus mc on mc.corpus_id = x.corpus_id
join model m on m.model_id = mc.model_id
where m.alias = $model and mc.name = $corpus
    and x.context_id in (select unnest($contexts::int[]))
order by x.context_id
