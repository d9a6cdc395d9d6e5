-- The sign cases of one neuron on one corpus.
select sign_case, n_positions, frequency, routed, mean_post, extreme_post, mean_gate, extreme_gate, mean_in, extreme_in
from activation_stats
where model = $model and corpus = $corpus and layer = $layer and neuron = $neuron
order by sign_case
