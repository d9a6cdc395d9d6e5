-- Whether one neuron is dead on a corpus, or a detector.
select dead, n_cover_95, tokens, n_fired, n_fired_on
from detectors
where model = $model and corpus = $corpus and layer = $layer and neuron = $neuron
order by corpus
