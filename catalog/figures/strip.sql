-- cos(w_in, w_out) of a model's neurons, as points of a strip by layer.
select layer, neuron, cos_in_out
from neurons
where model = $model
    and ($layers::integer[] is null or list_contains($layers::integer[], layer))
    and cos_in_out is not null
order by layer, neuron
