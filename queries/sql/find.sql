-- Neurons by class, role and layer, for `catalog find`; n_found: how many there are in all.
-- measured: the quantity of a corpus that $order names, if it names one.
with described as (
    -- include described
),
-- Counting reads the columns of the choices alone, so it is done apart from ordering.
matching as not materialized (
    select n.*, d.description
    from neurons n
    left join described d using (model, layer, neuron)
    where ($describes::varchar is null or d.description is not null)
        and ($model is null or model = $model)
        and (not len($io_classes::varchar[]) > 0 or list_contains($io_classes, io_class))
        and ($atypical is null or atypical = $atypical)
        and (not len($roles::varchar[]) > 0 or list_contains($roles, functional_role))
        and ($first_layer is null or layer between $first_layer and $last_layer)
        and (not len($layers::integer[]) > 0 or list_contains($layers, layer))
        and (
            not $is_listed
            or (model, layer, neuron) in (
                select unnest($in_models::varchar[]), unnest($in_layers::integer[]), unnest($in_neurons::integer[])
            )
        )
),
measured as (
    -- include measured
)
select
    model, neuron_id, io_class, atypical, functional_role as role,
    cos_gate_in, cos_gate_out, cos_in_out, vocab_kurtosis, e.value as measured, description,
    (select count(*) from matching) as n_found
from matching
left join measured e using (model, layer, neuron)
order by
    case $order
        when 'kurtosis' then vocab_kurtosis
        when 'variance' then vocab_variance
        when 'skew' then abs(vocab_skew)
        when 'cos_gate_in' then abs(cos_gate_in)
        when 'cos_gate_out' then abs(cos_gate_out)
        when 'cos_in_out' then abs(cos_in_out)
        when 'norm' then norm_out
        when 'layer' then -layer
        when 'atypical' then atypical::integer
        else e.value
    end * if($smallest, -1, 1) desc nulls last,
    case when not $smallest then
        case $order when 'class' then io_class when 'role' then functional_role when 'model' then model end
    end desc nulls last,
    case when $smallest then
        case $order when 'class' then io_class when 'role' then functional_role when 'model' then model end
    end nulls last,
    model, layer, neuron
limit $k
offset $skip
