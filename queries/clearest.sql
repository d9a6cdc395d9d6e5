-- The clearest prediction or suppression neuron of each IO class: that of highest kurtosis (paper, section 6).
-- needs: roles
-- :model model = null    only this model
-- :role role = null      prediction or suppression; without it, either
-- :k integer = 1         how many of each class
select
    model,
    io_class,
    atypical,
    neuron_id,
    functional_role,
    vocab_kurtosis,
    vocab_skew,
    cos_gate_in,
    cos_gate_out,
    cos_in_out
from neurons
where functional_role in ('prediction', 'suppression')
    and ($model is null or model = $model)
    and ($role is null or functional_role = $role)
qualify $k >= row_number() over (
    partition by model, io_class order by vocab_kurtosis desc, layer, neuron
)
order by model, io_class, vocab_kurtosis desc, layer, neuron
