-- Descriptions of `staged_description` that the entry `model_id` does not have: of one key the last
-- given counts, and what is known is what the latest run says.
create or replace temp table new_description as
with known as (
    select d.*
    from description d
    join current_rows c on c.run_id = d.run_id and c.bulk_table = 'description'
    join ingest_run r on r.run_id = d.run_id
    where c.model_id = getvariable('model_id')
    qualify row_number() over (
        partition by layer, neuron, sign_case, source, source_key
        order by r.finished_at desc, d.run_id desc
    ) = 1
),
last_given as (
    from staged_description
    qualify row_number() over (
        partition by layer, neuron, sign_case, source, source_key
        order by place desc
    ) = 1
)
select * exclude (place)
from last_given
except
select * exclude (run_id)
from known
order by layer, neuron, sign_case, source, source_key
