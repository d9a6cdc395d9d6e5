-- Neurons among whose top tokens any of $pieces is, one row for each list that has one; n_found: how
-- many there are in all. measured: the quantity of a corpus that $order names, if it names one.
with matched as (
    select
        model, layer, neuron, vector, basis, sign,
        min(rank) as rank,
        arg_min(score, rank) as score,
        count(*) as n_tokens,
        list(token order by rank, token_id) as tokens
    from top_tokens
    -- A filter of each piece is pushed down to the vocabulary; a subquery would not be.
    where list_contains($pieces::varchar[], token)
        and ($model is null or model = $model)
        and ($first_layer is null or layer between $first_layer and $last_layer)
        and (not len($layers::integer[]) > 0 or list_contains($layers, layer))
        and (
            not $is_listed
            or (model, layer, neuron) in (
                select unnest($in_models::varchar[]), unnest($in_layers::integer[]), unnest($in_neurons::integer[])
            )
        )
        and ($vector is null or vector = $vector)
        and ($sign is null or sign = $sign)
        and ($basis = 'both' or basis = $basis)
    group by all
),
described as (
    -- include described
),
measured as (
    -- include measured
)
select
    model, n.neuron_id, m.vector, m.basis, m.sign, m.rank, m.score, m.n_tokens, m.tokens,
    n.io_class, n.atypical, n.functional_role as role,
    n.cos_gate_in, n.cos_gate_out, n.cos_in_out, n.vocab_kurtosis,
    e.value as measured, d.description, count(*) over () as n_found
from matched m
join neurons n using (model, layer, neuron)
left join described d using (model, layer, neuron)
left join measured e using (model, layer, neuron)
where ($describes::varchar is null or d.description is not null)
    and (not len($io_classes::varchar[]) > 0 or list_contains($io_classes, n.io_class))
    and ($atypical is null or n.atypical = $atypical)
    and (not len($roles::varchar[]) > 0 or list_contains($roles, n.functional_role))
order by
    case $order
        when 'kurtosis' then n.vocab_kurtosis
        when 'variance' then n.vocab_variance
        when 'skew' then abs(n.vocab_skew)
        when 'cos_gate_in' then abs(n.cos_gate_in)
        when 'cos_gate_out' then abs(n.cos_gate_out)
        when 'cos_in_out' then abs(n.cos_in_out)
        when 'norm' then n.norm_out
        when 'layer' then -n.layer
        when 'atypical' then n.atypical::integer
        when 'rank' then m.rank
        when 'score' then m.score
        when 'tokens' then m.n_tokens
        else e.value
    end * if($smallest, -1, 1) desc nulls last,
    case when not $smallest then
        case $order
            when 'class' then n.io_class
            when 'role' then n.functional_role
            when 'model' then model
            when 'vector' then m.vector
            when 'basis' then m.basis
            when 'sign' then m.sign
        end
    end desc nulls last,
    case when $smallest then
        case $order
            when 'class' then n.io_class
            when 'role' then n.functional_role
            when 'model' then model
            when 'vector' then m.vector
            when 'basis' then m.basis
            when 'sign' then m.sign
        end
    end nulls last,
    m.n_tokens desc, m.rank, abs(m.score) desc, model, layer, neuron, m.vector, m.basis, m.sign
limit $k
offset $skip
