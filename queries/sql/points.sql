-- The neurons of a model as points of two quantities, coloured by a third; classes and roles by
-- their place in the lists given.
with chosen as (
    select
        layer,
        neuron,
        case $x
            when 'cos_gate_in' then cos_gate_in
            when 'cos_gate_out' then cos_gate_out
            when 'cos_in_out' then cos_in_out
            when 'norm_gate' then norm_gate
            when 'norm_in' then norm_in
            when 'norm_out' then norm_out
            when 'vocab_variance' then vocab_variance
            when 'vocab_skew' then vocab_skew
            when 'vocab_kurtosis' then vocab_kurtosis
            when 'null_space_share' then null_space_share
            when 'layer' then layer
        end::float as x,
        case $y
            when 'cos_gate_in' then cos_gate_in
            when 'cos_gate_out' then cos_gate_out
            when 'cos_in_out' then cos_in_out
            when 'norm_gate' then norm_gate
            when 'norm_in' then norm_in
            when 'norm_out' then norm_out
            when 'vocab_variance' then vocab_variance
            when 'vocab_skew' then vocab_skew
            when 'vocab_kurtosis' then vocab_kurtosis
            when 'null_space_share' then null_space_share
            when 'layer' then layer
        end::float as y,
        case $colour
            when 'io_class' then list_position($classes::varchar[], io_class) - 1
            when 'role' then list_position($roles::varchar[], functional_role) - 1
            when 'cos_gate_in' then cos_gate_in
            when 'cos_gate_out' then cos_gate_out
            when 'cos_in_out' then cos_in_out
            when 'vocab_skew' then vocab_skew
            when 'layer' then layer
        end::float as colour
    from neurons
    where model = $model and ($layer is null or layer = $layer)
)
from chosen
where isfinite(x) and isfinite(y)
order by layer, neuron
