-- A run compares two steps of one series; its subject is the earlier one.
create or replace view drifts as
select
    m.alias as model,
    m.series || '@' || r.subject as other_model,
    d.layer,
    d.neuron,
    d.cos_gate,
    d.cos_in,
    d.cos_out
from drift d
join current_rows c on c.run_id = d.run_id and c.bulk_table = 'drift'
join ingest_run r on r.run_id = d.run_id
join model m on m.model_id = c.model_id;
