-- post of one neuron at the sampled positions of a corpus.
select context_id, position, post
from activation_samples
where model = $model and corpus = $corpus and layer = $layer and neuron = $neuron
order by context_id, position
