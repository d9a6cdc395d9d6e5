-- What is kept of a catalog: what something refers to, under its numbers.
create table ids as
select 'model' as owner, held_in, model_id as old, model_id as new, true as taken
from held_model
union all
select 'vocabulary', held_in, vocabulary_id, vocabulary_id, true
from held_vocabulary
semi join held_model using (vocabulary_id)
union all
select 'corpus', held_in, corpus_id, corpus_id, true
from held_corpus
semi join (from held_model_corpus semi join held_model using (model_id)) using (corpus_id)
union all
select 'run', held_in, run_id, run_id, true
from held_ingest_run
semi join held_model using (model_id);

create table part as
select held_in, model_id, corpus_id
from held_model_corpus
semi join held_model using (model_id);

-- A run that may be resumed keeps the rows it has loaded, which no view shows.
create table shown as
select held_in, bulk_table, run_id
from held_current_rows
union
select held_in, unnest(getvariable('bulk_tables')::text[]), run_id
from held_ingest_run
where status in ('running', 'loading');
