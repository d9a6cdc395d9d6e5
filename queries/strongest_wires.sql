-- The strongest wires of a model: what the first neuron writes towards and away from, and what the second reads there.
-- needs: wiring, vocab
-- :model model             the model
-- :layer layer = null      only wires that end in this layer
-- :reads vector = null     only wires that this vector reads: gate or in
-- :top integer = 4         tokens listed
-- :k integer = 10          how many
with
kept as (
    select *
    from wires
    where model = $model
        and ($layer is null or to_layer = $layer)
        and ($reads is null or reads = $reads)
    order by abs(cosine) desc, layer, neuron, to_layer, to_neuron, reads
    limit $k
),
ends as (
    select layer, neuron, 'out' as vector
    from kept
    union
    select to_layer, to_neuron, reads
    from kept
),
listed as (
    select t.layer, t.neuron, t.vector, t.sign, list(t.token order by t.rank) as tokens
    from top_tokens t
    semi join ends using (layer, neuron, vector)
    where t.model = $model and t.basis = 'unembed' and t.rank <= $top
    group by t.layer, t.neuron, t.vector, t.sign
)
select
    k.model,
    a.neuron_id as writer,
    b.neuron_id as reader,
    k.reads,
    k.cosine,
    a.io_class,
    b.io_class as reader_class,
    towards.tokens as writes_towards,
    away.tokens as writes_away_from,
    plus.tokens as reads_plus,
    minus.tokens as reads_minus
from kept k
join neurons a using (model, layer, neuron)
join neurons b on b.model = k.model and b.layer = k.to_layer and b.neuron = k.to_neuron
left join listed towards
    on towards.layer = k.layer and towards.neuron = k.neuron
    and towards.vector = 'out' and towards.sign = '+'
left join listed away
    on away.layer = k.layer and away.neuron = k.neuron
    and away.vector = 'out' and away.sign = '-'
left join listed plus
    on plus.layer = k.to_layer and plus.neuron = k.to_neuron
    and plus.vector = k.reads and plus.sign = '+'
left join listed minus
    on minus.layer = k.to_layer and minus.neuron = k.to_neuron
    and minus.vector = k.reads and minus.sign = '-'
order by abs(k.cosine) desc, k.layer, k.neuron, k.to_layer, k.to_neuron, k.reads
