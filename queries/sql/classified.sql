-- The IO class of three cosines of a gated neuron at 0.5.
select
    io_class_at(true, $gate_out, $in_out, 0.5) as io_class,
    atypical_at($gate_in, $gate_out, $in_out, 0.5) as atypical
