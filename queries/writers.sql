-- Neurons that a given one reads, strongest first, and what they write.
-- needs: wiring
-- :neuron neuron           the given neuron, as layer.neuron
-- :model model             its model
-- :reads vector = null     only those that it reads with this vector: gate or in
-- :top integer = 5         tokens listed
-- :k integer = 16          how many
with
kept as (
    select *
    from wires
    where model = $model
        and to_layer = split_part($neuron, '.', 1)::integer
        and to_neuron = split_part($neuron, '.', 2)::integer
        and ($reads is null or reads = $reads)
        and rank_from is not null
    order by abs(cosine) desc, layer, neuron, reads
    limit $k
),
written as (
    select t.layer, t.neuron, list(t.token order by t.rank) as tokens
    from top_tokens t
    semi join kept k on k.layer = t.layer and k.neuron = t.neuron
    where t.model = $model
        and t.vector = 'out'
        and t.basis = 'unembed'
        and t.sign = '+'
        and t.rank <= $top
    group by t.layer, t.neuron
)
select
    k.model,
    n.neuron_id as writer,
    k.reads,
    k.cosine,
    k.rank_from,
    k.rank_to,
    n.io_class,
    n.functional_role,
    w.tokens
from kept k
join neurons n using (model, layer, neuron)
left join written w on w.layer = k.layer and w.neuron = k.neuron
order by abs(k.cosine) desc, k.layer, k.neuron, k.reads
