-- What contradicts itself within a catalog: its position, and what is wrong.
select held_in, 'no table ' || bulk_table as wrong
from held_current_rows
where not list_contains(getvariable('bulk_tables')::text[], bulk_table)
union all
select s.held_in, 'no run ' || s.run_id
from held_current_rows s
semi join held_model using (held_in, model_id)
anti join held_ingest_run using (held_in, model_id, run_id)
union all
select r.held_in, 'no corpus ' || r.corpus_id
from held_ingest_run r
semi join held_model using (held_in, model_id)
anti join held_corpus using (held_in, corpus_id)
where r.corpus_id is not null
union all
select s.held_in, 'no corpus ' || s.corpus_id
from held_current_rows s
semi join held_model using (held_in, model_id)
anti join held_corpus using (held_in, corpus_id)
where s.corpus_id is not null
union all
select held_in, 'parameters or notes of run ' || run_id || ' that are no JSON object'
from held_ingest_run
semi join held_model using (held_in, model_id)
where not (
    json_valid(parameters) and coalesce(json_valid(notes), true)
    and case when json_valid(parameters) then json_type(parameters) = 'OBJECT' end
    and case when coalesce(json_valid(notes), true)
        then coalesce(json_type(notes) = 'OBJECT', true) end
)
order by all
limit 1
