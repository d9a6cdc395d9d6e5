-- post of a neuron at the sampled positions of a corpus.
select post
from activation_samples
where model = $model and corpus = $corpus and layer = $layer and neuron = $neuron and post is not null
order by context_id, position
