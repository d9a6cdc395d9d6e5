-- Neurons of each IO class, with typicality, and functional role, with margins (paper, table 2).
-- needs: roles
-- :model model = null                  only this model
-- :threshold fraction = 0.5            a |cosine| beyond it counts for the IO class
-- :partition double = null             partition neurons in 352,256; without these three, the stored roles
-- :kurtosis double = null              excess kurtosis of prediction and suppression neurons
-- :attention_cutoff fraction = null    on |cosine| with a head of the next layer
with
judged as (
    select model, cos_gate_in, cos_gate_out, cos_in_out, functional_role
    from neurons
    where coalesce($partition, $kurtosis, $attention_cutoff) is null
    union all
    select n.model, n.cos_gate_in, n.cos_gate_out, n.cos_in_out, r.functional_role
    from functional_roles(
        coalesce($partition, 1000), $kurtosis, 2, 3, coalesce($attention_cutoff, sqrt(0.5)), 1
    ) r
    join neurons n using (model, layer, neuron)
    where coalesce($partition, $kurtosis, $attention_cutoff) is not null
),
counted as (
    select
        model,
        io_class_at(cos_gate_out, cos_in_out, $threshold) as io_class,
        atypical_at(cos_gate_in, cos_gate_out, cos_in_out, $threshold) as atypical,
        functional_role as role,
        count(*) as n
    from judged
    where functional_role is not null and ($model is null or model = $model)
    group by all
)
select
    model,
    case
        when grouping(io_class) = 1 then 'total'
        when atypical then 'atypical ' || io_class
        else io_class
    end as io_class,
    coalesce(sum(n) filter (where role = 'prediction'), 0)::bigint as prediction,
    coalesce(sum(n) filter (where role = 'suppression'), 0)::bigint as suppression,
    coalesce(sum(n) filter (where role = 'partition'), 0)::bigint as partition,
    coalesce(sum(n) filter (where role = 'entropy'), 0)::bigint as entropy,
    coalesce(sum(n) filter (where role = 'attention deactivation'), 0)::bigint as attention_deactivation,
    coalesce(sum(n) filter (where role = 'attention activation'), 0)::bigint as attention_activation,
    coalesce(sum(n) filter (where role = 'other'), 0)::bigint as other,
    sum(n)::bigint as total
from counted
group by grouping sets ((model, counted.io_class, atypical), (model))
order by model, grouping(counted.io_class), counted.io_class, atypical
