-- What neurons add to the residual stream on average, mean |post| times the norm of w_out, largest first.
-- needs: weights, activations
-- :model model = null       only this model
-- :corpus corpus = null     only this corpus
-- :layer layer = null       only this layer
-- :k integer = 50           how many
with
written as (
    select
        s.model,
        s.corpus,
        s.layer,
        s.neuron,
        -- Within a sign case post has one sign, so that its mean is one of magnitudes.
        sum(s.frequency * abs(coalesce(s.mean_post, 0)) order by s.sign_case) as mean_magnitude
    from activation_stats s
    where ($model is null or s.model = $model)
        and ($corpus is null or s.corpus = $corpus)
        and ($layer is null or s.layer = $layer)
    group by s.model, s.corpus, s.layer, s.neuron
),
scaled as (
    select
        w.*,
        n.neuron_id,
        n.io_class,
        n.functional_role,
        n.norm_out,
        w.mean_magnitude * n.norm_out as contribution
    from written w
    join neurons n using (model, layer, neuron)
),
layers as (
    select model, corpus, layer, sum(contribution order by neuron) as of_layer
    from scaled
    group by model, corpus, layer
)
select
    model,
    corpus,
    neuron_id,
    contribution,
    contribution / nullif(of_layer, 0) as share_of_layer,
    mean_magnitude,
    norm_out,
    io_class,
    functional_role
from scaled
join layers using (model, corpus, layer)
where contribution is not null
order by contribution desc, model, corpus, layer, neuron
limit $k
