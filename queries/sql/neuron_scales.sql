-- What |post| of every neuron is multiplied by to be ranked: $by is post, written or unusual.
with typical as (
    select layer, neuron, sum(coalesce(frequency * abs(mean_post), 0)) as mean_magnitude
    from activation_stats
    where model = $model and corpus = $corpus
    group by all
)
select
    layer,
    neuron,
    case $by
        when 'post' then 1.0
        when 'written' then n.norm_out
        when 'unusual' then 1 / nullif(t.mean_magnitude, 0)
    end::float as scale
from neurons n
left join typical t using (layer, neuron)
where n.model = $model
order by layer, neuron
