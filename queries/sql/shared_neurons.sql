-- Of chosen neurons of a layer: how often post has one sign on one corpus, and the tokens in W_U that w_out
-- then writes towards and away from.
with often as (
    select layer, neuron, sum(frequency) as frequency
    from activation_stats
    where model = $model
        and corpus = $corpus
        and layer = $layer
        -- post has the sign of gate times in, as an activation function has that of its input
        and (sign_case in ('gate+_in+', 'gate-_in-', 'in+')) = ($sign > 0)
    group by all
),
written as (
    select
        layer, neuron,
        array_agg(token order by rank) filter (where sign = '+') as up,
        array_agg(score order by rank) filter (where sign = '+') as up_scores,
        array_agg(token order by rank) filter (where sign = '-') as down,
        array_agg(score order by rank) filter (where sign = '-') as down_scores
    from top_tokens
    where model = $model and layer = $layer and vector = 'out' and basis = 'unembed'
    group by all
)
select
    n.layer, n.neuron, o.frequency,
    coalesce(w.up, []) as up, coalesce(w.up_scores, []) as up_scores,
    coalesce(w.down, []) as down, coalesce(w.down_scores, []) as down_scores
from neurons n
left join often o using (layer, neuron)
left join written w using (layer, neuron)
where n.model = $model
    and n.layer = $layer
    and list_contains($neurons::int[], n.neuron)
order by n.layer, n.neuron
