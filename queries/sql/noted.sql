-- Per finished stage of a model and table whose rows it loaded: its notes, and the run whose rows
-- are shown.
select
    r.stage,
    r.subject,
    mc.name as corpus,
    c.bulk_table,
    c.run_id,
    r.notes
from ingest_run r
join model m on m.model_id = r.model_id
left join model_corpus mc on mc.model_id = r.model_id and mc.corpus_id = r.corpus_id
join current_rows c
    on c.model_id = r.model_id
    and c.corpus_id is not distinct from r.corpus_id
    and (r.subject is null or c.run_id = r.run_id)
where m.alias = $model and r.status = 'finished'
order by r.run_id, c.bulk_table
