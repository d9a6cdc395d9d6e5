-- Neurons of each IO class, the typical and the atypical by themselves, and functional role, with margins (paper, table 2).
-- needs: roles
-- :model model = null                  only this model
-- :threshold fraction = 0.5            a |cosine| beyond it counts for the IO class
-- :partition integer = null            partition neurons in 352,256; without these six, the stored roles
-- :moments integer = null              prediction and suppression neurons in 352,256
-- :min_kurtosis double = null          only those of excess kurtosis above it
-- :kurtosis kurtosis = null            an excess kurtosis in place of both, or partition (published)
-- :iqr_factor double = null            of entropy neurons
-- :attention_cutoff fraction = null    on |cosine| with a head of the next layer
with counted as (
    select
        model,
        io_class_at(gated, cos_gate_out, cos_in_out, $threshold) as io_class,
        atypical_at(cos_gate_in, cos_gate_out, cos_in_out, $threshold) as atypical,
        functional_role as role,
        count(*) as n
    from neurons_by_rule(
        $partition, $moments, $min_kurtosis, $kurtosis, $iqr_factor, $attention_cutoff
    )
    join (select model, gated from models) using (model)
    where functional_role is not null and ($model is null or model = $model)
    group by all
)
select
    model,
    case
        when grouping(io_class) = 1 then 'total'
        when atypical then 'atypical ' || io_class
        when not atypical and io_class != 'orthogonal output' then 'typical ' || io_class
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
