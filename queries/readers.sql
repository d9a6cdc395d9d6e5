-- Neurons that read what a given one writes, strongest first, and what they write themselves.
-- needs: wiring
-- :neuron neuron           the given neuron, as layer.neuron
-- :model model             its model
-- :reads vector = null     only those that read it with this vector: gate or in
-- :top integer = 5         tokens listed
-- :k integer = 16          how many
with
kept as (
    select *
    from wires
    where model = $model
        and layer = split_part($neuron, '.', 1)::integer
        and neuron = split_part($neuron, '.', 2)::integer
        and ($reads is null or reads = $reads)
        and rank_to is not null
    order by abs(cosine) desc, to_layer, to_neuron, reads
    limit $k
),
written as (
    select t.layer, t.neuron, list(t.token order by t.rank) as tokens
    from top_tokens t
    semi join kept k on k.to_layer = t.layer and k.to_neuron = t.neuron
    where t.model = $model
        and t.vector = 'out'
        and t.basis = 'unembed'
        and t.sign = '+'
        and t.rank <= $top
    group by t.layer, t.neuron
)
select
    k.model,
    n.neuron_id as reader,
    k.reads,
    k.cosine,
    k.rank_to,
    k.rank_from,
    n.io_class,
    n.functional_role,
    w.tokens
from kept k
join neurons n on n.model = k.model and n.layer = k.to_layer and n.neuron = k.to_neuron
left join written w on w.layer = k.to_layer and w.neuron = k.to_neuron
order by abs(k.cosine) desc, k.to_layer, k.to_neuron, k.reads
