-- The clearest prediction or suppression neuron of each IO class: that of highest kurtosis (paper, section 6).
-- needs: roles
-- :model model = null    only this model
-- :role role = null      prediction or suppression; without it, either
-- :k integer = 1         how many of each class
-- :partition integer = null            partition neurons in 352,256; without these six, the stored roles
-- :moments integer = null              prediction and suppression neurons in 352,256
-- :min_kurtosis double = null          only those of excess kurtosis above it
-- :kurtosis kurtosis = null            an excess kurtosis in place of both, or partition (published)
-- :iqr_factor double = null            of entropy neurons
-- :attention_cutoff fraction = null    on |cosine| with a head of the next layer
with
asked as (
    select coalesce(
        $partition::varchar, $moments::varchar, $min_kurtosis::varchar, $kurtosis,
        $iqr_factor::varchar, $attention_cutoff::varchar
    ) is not null as other_rule
),
judged as (
    select n.model, n.layer, n.neuron, n.functional_role
    from neurons n, asked
    where not other_rule and ($model is null or n.model = $model)
    union all
    select r.model, r.layer, r.neuron, r.functional_role
    from functional_roles(
        coalesce($partition, role_default('partition')),
        coalesce($moments, role_default('moments')),
        coalesce($min_kurtosis, role_default('min_kurtosis')),
        $kurtosis,
        role_default('n_entropy'),
        coalesce($iqr_factor, role_default('iqr_factor')),
        coalesce($attention_cutoff, role_default('attention_cutoff')),
        role_default('layers_ahead')
    ) r, asked
    where other_rule and ($model is null or r.model = $model)
)
select
    model,
    n.io_class,
    n.atypical,
    n.neuron_id,
    j.functional_role,
    n.vocab_kurtosis,
    n.vocab_skew,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out
from judged j
join neurons n using (model, layer, neuron)
where j.functional_role in ('prediction', 'suppression')
    and ($role is null or j.functional_role = $role)
qualify $k >= row_number() over (
    partition by model, n.io_class order by n.vocab_kurtosis desc, layer, neuron
)
order by model, n.io_class, n.vocab_kurtosis desc, layer, neuron
