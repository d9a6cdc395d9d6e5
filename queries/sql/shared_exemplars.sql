-- Exemplars of chosen neurons of a layer on one corpus, of one sign of post, the strongest first.
select
    layer, neuron, post, context_id, position, window_start, window_tokens, window_post
from exemplars
where model = $model
    and corpus = $corpus
    and sign(post) = $sign
    and layer = $layer
    and list_contains($neurons::int[], neuron)
order by layer, neuron, abs(post) desc, context_id, position
