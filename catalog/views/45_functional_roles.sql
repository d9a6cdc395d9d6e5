-- The rule of docs/definitions.md ("Functional roles"), written once: the stage `roles` runs it with
-- the defaults of catalog/role_rule.py, which explains the parameters, and a query with any others.
-- `writes` says that the moments make a neuron prediction or suppression; `otherwise` is its role where
-- they do not decide, and `kurtosis_cutoff` what its kurtosis had to exceed.
-- The role is NULL where the moments or shares of a model were not computed.
create or replace macro functional_roles(
    partition_neurons, moments_neurons, min_kurtosis, kurtosis_above, n_entropy, iqr_factor,
    attention_cutoff, layers_ahead
) as table
with
totals as (
    select
        n.model,
        any_value(m.gated) as gated,
        count(*) as n_neurons,
        max(n.layer) as last_layer,
        count(n.vocab_variance) > 0 and count(n.null_space_share) > 0 as measured
    from neurons n
    join models m using (model)
    group by n.model
),
ranked as (
    select
        n.*,
        t.measured,
        (moments_neurons::bigint * t.n_neurons + 352255) // 352256 as n_moments,
        -- Without a gate no sign of it decides.
        if(t.gated, n.cos_gate_in, 1) as gate_sign,
        n.vocab_variance is not null
            and (partition_neurons::bigint * t.n_neurons + 352255) // 352256 >= row_number() over (
                partition by model order by n.vocab_variance desc nulls last, n.layer, n.neuron
            ) as is_partition
    from neurons n
    join totals t using (model)
),
by_kurtosis as (
    select
        *,
        row_number() over (
            partition by model, is_partition
            order by vocab_kurtosis desc nulls last, layer, neuron
        ) as kurtosis_rank
    from ranked
),
highest as (
    select
        model,
        max(vocab_kurtosis) filter (where is_partition) as of_partition,
        max(vocab_kurtosis) filter (where not is_partition and kurtosis_rank > n_moments) as beyond
    from by_kurtosis
    group by model
),
kurtosis as (
    select
        model,
        case
            when kurtosis_above::varchar = 'partition' then of_partition
            when kurtosis_above is not null then try_cast(kurtosis_above as float)
            else greatest(min_kurtosis::float, beyond)
        end as kurtosis_cutoff
    from highest
),
last as (
    select
        model,
        layer,
        neuron,
        null_space_share as share,
        row_number() over (
            partition by model order by null_space_share desc nulls last, neuron
        ) as share_rank,
        quantile_cont(null_space_share::double, 0.25) over (partition by model) as q1,
        quantile_cont(null_space_share::double, 0.75) over (partition by model) as q3
    from neurons
    join totals using (model)
    where layer = last_layer
),
entropy as (
    select model, layer, neuron
    from last
    where share_rank <= n_entropy and share > q3 + iqr_factor * (q3 - q1)
),
attention as (
    select
        model,
        layer,
        neuron,
        first(cosine order by abs(cosine) desc, head_layer, head) as strongest
    from attention_scores
    where abs(cosine) > attention_cutoff and head_layer <= layer + layers_ahead
    group by model, layer, neuron
),
judged as (
    select
        r.model,
        r.layer,
        r.neuron,
        r.measured,
        r.is_partition,
        r.gate_sign,
        r.vocab_skew,
        k.kurtosis_cutoff,
        not r.is_partition and if(
            kurtosis_above is null,
            r.vocab_kurtosis > min_kurtosis and r.kurtosis_rank <= r.n_moments,
            r.vocab_kurtosis > k.kurtosis_cutoff
        ) as writes,
        case
            when e.neuron is not null then 'entropy'
            when r.gate_sign * a.strongest > 0 then 'attention deactivation'
            when r.gate_sign * a.strongest < 0 then 'attention activation'
            else 'other'
        end as otherwise
    from by_kurtosis r
    join kurtosis k using (model)
    left join entropy e using (model, layer, neuron)
    left join attention a using (model, layer, neuron)
)
select
    model,
    layer,
    neuron,
    case
        when not measured then null
        when is_partition then 'partition'
        when writes and gate_sign * vocab_skew > 0 then 'prediction'
        when writes and gate_sign * vocab_skew < 0 then 'suppression'
        else otherwise
    end as functional_role,
    coalesce(writes, false) and measured as writes,
    otherwise,
    kurtosis_cutoff
from judged;
