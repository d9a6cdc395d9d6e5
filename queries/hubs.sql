-- Neurons with the most wires: how many read them, and how many they read.
-- needs: wiring
-- :model model = null      only this model
-- :layer layer = null      only this layer
-- :reads vector = null     only wires that this vector reads: gate or in
-- :k integer = 50          how many
with
ends as (
    select model, layer, neuron, 1 as as_writer, 0 as as_reader, abs(cosine) as strength
    from wires
    where ($model is null or model = $model) and ($reads is null or reads = $reads)
    union all
    select model, to_layer, to_neuron, 0, 1, abs(cosine)
    from wires
    where ($model is null or model = $model) and ($reads is null or reads = $reads)
),
counted as (
    select
        model,
        layer,
        neuron,
        sum(as_writer)::integer as read_by,
        sum(as_reader)::integer as reads_from,
        max(strength) as strongest
    from ends
    where $layer is null or layer = $layer
    group by model, layer, neuron
    order by count(*) desc, model, layer, neuron
    limit $k
)
select
    c.model,
    n.neuron_id,
    c.read_by,
    c.reads_from,
    c.strongest,
    n.io_class,
    n.functional_role,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out
from counted c
join neurons n using (model, layer, neuron)
order by c.read_by + c.reads_from desc, c.model, c.layer, c.neuron
