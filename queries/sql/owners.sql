-- The numbers of what a model's rows go with: itself, its vocabulary, its corpora, its runs.
select 'model' as owner, model_id as owner_id
from model
where alias = $model
union
select 'vocabulary', vocabulary_id
from model
where alias = $model and vocabulary_id is not null
union
select 'corpus', c.corpus_id
from current_rows c
join model m using (model_id)
where m.alias = $model and c.corpus_id is not null
union
select 'run', c.run_id
from current_rows c
join model m using (model_id)
where m.alias = $model
order by owner, owner_id
