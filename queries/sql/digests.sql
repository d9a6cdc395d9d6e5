-- Per finished stage of a model and bulk table: the digest noted, and the run whose rows are shown.
select
    r.stage,
    r.subject,
    mc.name as corpus,
    noted.key as bulk_table,
    noted.value::varchar as digest,
    c.run_id as current_run_id
from ingest_run r
join model m on m.model_id = r.model_id
left join model_corpus mc on mc.model_id = r.model_id and mc.corpus_id = r.corpus_id
join json_each(r.notes, '$.rows') noted on true
join current_rows c
    on c.model_id = r.model_id
    and c.corpus_id is not distinct from r.corpus_id
    and c.bulk_table = noted.key
    and (r.subject is null or c.run_id = r.run_id)
where m.alias = $model and r.status = 'finished'
order by r.run_id, noted.key
