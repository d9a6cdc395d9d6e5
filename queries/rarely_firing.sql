-- Neurons whose gate is open (gate > 0; without a gate, in > 0) at fewer than one in 10,000 positions, rarest first.
-- needs: activations
-- :below fraction = 0.0001    share of the counted positions
-- :model model = null         only this model
-- :corpus corpus = null       only this corpus
-- :k integer = 50             how many
with rare as (
    select
        model,
        corpus,
        layer,
        neuron,
        sum(frequency) as frequency,
        any_value(n_positions) as n_positions,
        arg_max(extreme_post, abs(extreme_post)) as extreme_post
    from activation_stats
    where sign_case in ('gate+_in+', 'gate+_in-', 'in+')
        and ($model is null or model = $model)
        and ($corpus is null or corpus = $corpus)
    group by model, corpus, layer, neuron
    having sum(frequency) < $below
    order by frequency, model, corpus, layer, neuron
    limit $k
)
select
    model,
    r.corpus,
    n.neuron_id,
    r.frequency,
    r.n_positions,
    r.extreme_post,
    n.io_class,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out
from rare r
join neurons n using (model, layer, neuron)
order by r.frequency, model, r.corpus, layer, neuron
