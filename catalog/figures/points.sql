-- The three cosines of a model's neurons, as x, y and colour of the scatter plots.
select layer, cos_gate_out, cos_in_out, cos_gate_in
from neurons
where model = $model
    and ($layers::integer[] is null or list_contains($layers::integer[], layer))
    and cos_gate_in is not null
    and cos_gate_out is not null
    and cos_in_out is not null
order by layer, neuron
