-- How often gates are open (gate > 0; without a gate in > 0), by layer and IO class, and whether that goes with cos(w_in, w_out).
-- needs: weights, activations
-- :model model = null          only this model
-- :corpus corpus = null        only this corpus
-- :threshold fraction = 0.5    of the classes: a |cosine| beyond it counts
with
opened as (
    select model, corpus, layer, neuron, sum(frequency order by sign_case) as frequency
    from activation_stats
    where sign_case in ('gate+_in+', 'gate+_in-', 'in+')
        and ($model is null or model = $model)
        and ($corpus is null or corpus = $corpus)
    group by model, corpus, layer, neuron
),
classed as (
    select
        o.*,
        n.cos_in_out,
        c.io_class,
        corr(o.frequency, n.cos_in_out) over (partition by model, o.corpus, layer) as correlation
    from opened o
    join neurons n using (model, layer, neuron)
    join io_classes($threshold) c using (model, layer, neuron)
)
select
    model,
    corpus,
    layer,
    io_class,
    count(*) as neurons,
    avg(frequency) as mean_frequency,
    median(frequency) as median_frequency,
    -- Of layers in which neither varies there is none.
    nullif(any_value(correlation), 'nan'::double) as layer_correlation_with_cos_in_out
from classed
group by model, corpus, layer, io_class
order by model, corpus, layer, io_class nulls last
