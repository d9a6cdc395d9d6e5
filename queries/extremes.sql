-- Neurons with the largest and the smallest values of a cosine.
-- :cosine cosine = cos_in_out    cos_gate_in, cos_gate_out or cos_in_out
-- :model model = null            only this model
-- :layer layer = null            only this layer
-- :k integer = 10                how many at either end
with valued as (
    select
        model, layer, neuron, neuron_id, io_class, cos_gate_in, cos_gate_out, cos_in_out,
        case $cosine
            when 'cos_gate_in' then cos_gate_in
            when 'cos_gate_out' then cos_gate_out
            when 'cos_in_out' then cos_in_out
        end as value
    from neurons
    where ($model is null or model = $model) and ($layer is null or layer = $layer)
),
highest as (
    select 'highest' as side, * from valued
    where value is not null
    order by value desc, model, layer, neuron
    limit $k
),
lowest as (
    select 'lowest' as side, * from valued
    where value is not null
    order by value, model, layer, neuron
    limit $k
)
select side, model, neuron_id, io_class, cos_gate_in, cos_gate_out, cos_in_out
from (from highest union all from lowest)
order by side, case side when 'highest' then -value else value end, model, layer, neuron
