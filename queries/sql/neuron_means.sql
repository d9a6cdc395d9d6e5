-- What each neuron does on a corpus: mean of post over the positions at which it is computed (0 where that
-- is none), and at how many of all positions its gate is open.
select
    layer,
    neuron,
    coalesce(
        sum(coalesce(frequency * mean_post, 0)) / nullif(coalesce(any_value(routed), 1), 0), 0
    ) as mean_post,
    sum(frequency) filter (sign_case in ('gate+_in+', 'gate+_in-', 'in+')) as frequency
from activation_stats
where model = $model and corpus = $corpus
group by layer, neuron
order by layer, neuron
