-- Neurons by class, role, layer and token, for `catalog find`.
with found as (
    select
        model, layer, neuron, neuron_id, io_class, atypical, functional_role as role,
        round(cos_gate_in, 3) as cos_gate_in, round(cos_gate_out, 3) as cos_gate_out,
        round(cos_in_out, 3) as cos_in_out, round(vocab_kurtosis, 2) as vocab_kurtosis,
        case $order
            when 'kurtosis' then vocab_kurtosis
            when 'variance' then vocab_variance
            when 'skew' then abs(vocab_skew)
            when 'cos_gate_in' then abs(cos_gate_in)
            when 'cos_gate_out' then abs(cos_gate_out)
            when 'cos_in_out' then abs(cos_in_out)
            when 'norm' then norm_out
        end as weight
    from neurons
    where ($model is null or model = $model)
        and ($io_class is null or io_class = $io_class)
        and ($atypical is null or atypical = $atypical)
        and ($role is null or functional_role = $role)
        and ($first_layer is null or layer between $first_layer and $last_layer)
),
naming as (
    select distinct model, layer, neuron
    from top_tokens
    where token = $token
        and ($vector is null or vector = $vector)
        and ($sign is null or sign = $sign)
        and basis = $basis
)
select * exclude (layer, neuron, weight)
from found
where $token is null or (model, layer, neuron) in (select (model, layer, neuron) from naming)
order by weight desc nulls last, model, layer, neuron
limit $k
