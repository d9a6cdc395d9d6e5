-- The classes of the view `neurons` at any threshold.
create or replace macro io_classes(t) as table
select
    model,
    layer,
    neuron,
    neuron_id,
    io_class_at(gated, cos_gate_out, cos_in_out, t) as io_class,
    atypical_at(cos_gate_in, cos_gate_out, cos_in_out, t) as atypical
from neurons
join (select model, gated from models) using (model);
