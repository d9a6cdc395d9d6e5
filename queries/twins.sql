-- Neurons of a model whose weight vectors point most alike: twins of a given neuron, or the closest pairs.
-- needs: wiring
-- :neuron neuron = null    the given neuron, as layer.neuron; without, each pair once
-- :model model = null      its model
-- :vector vector = null    only this vector: gate, in or out
-- :k integer = 24          how many
with kept as (
    select *
    from twins
    where ($model is null or model = $model)
        and ($vector is null or vector = $vector)
        and case
            when $neuron is not null then
                layer = split_part($neuron, '.', 1)::integer
                and neuron = split_part($neuron, '.', 2)::integer
            -- A pair may stand in the list of one of its neurons alone.
            else (layer, neuron) < (other_layer, other_neuron) or rank = 1
        end
),
pairs as (
    select distinct on (model, vector, least((layer, neuron), (other_layer, other_neuron)),
            greatest((layer, neuron), (other_layer, other_neuron))) *
    from kept
    order by model, vector, layer, neuron, other_layer, other_neuron
),
strongest as (
    from pairs
    order by abs(cosine) desc, model, layer, neuron, vector, other_layer, other_neuron
    limit $k
)
select
    s.model,
    a.neuron_id,
    s.vector,
    b.neuron_id as twin,
    s.cosine,
    s.rank,
    a.io_class,
    b.io_class as twin_class,
    b.functional_role as twin_role,
    s.layer = s.other_layer as same_layer
from strongest s
join neurons a on a.model = s.model and a.layer = s.layer and a.neuron = s.neuron
join neurons b on b.model = s.model and b.layer = s.other_layer and b.neuron = s.other_neuron
order by abs(s.cosine) desc, s.model, s.layer, s.neuron, s.vector, s.other_layer, s.other_neuron
