-- What each neuron does on a corpus: mean of post over all positions, and how often its gate is open.
select
    layer,
    neuron,
    sum(coalesce(frequency * mean_post, 0)) as mean_post,
    sum(frequency) filter (sign_case in ('gate+_in+', 'gate+_in-', 'in+')) as frequency
from activation_stats
where model = $model and corpus = $corpus
group by layer, neuron
order by layer, neuron
