-- The clearest prediction or suppression neuron of each IO class: that of highest kurtosis (paper, section 6).
-- needs: roles
-- :model model = null                  only this model
-- :role role = null                    prediction or suppression; without it, either
-- :k integer = 1                       how many of each class
-- :partition integer = null            partition neurons in 352,256; without these six, the stored roles
-- :moments integer = null              prediction and suppression neurons in 352,256
-- :min_kurtosis double = null          only those of excess kurtosis above it
-- :kurtosis kurtosis = null            an excess kurtosis in place of both, or partition (published)
-- :iqr_factor double = null            of entropy neurons
-- :attention_cutoff fraction = null    on |cosine| with a head of the next layer
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
from neurons_by_rule(
    $partition, $moments, $min_kurtosis, $kurtosis, $iqr_factor, $attention_cutoff
)
where functional_role in ('prediction', 'suppression')
    and ($model is null or model = $model)
    and ($role is null or functional_role = $role)
qualify $k >= row_number() over (
    partition by model, io_class order by vocab_kurtosis desc, layer, neuron
)
order by model, io_class, vocab_kurtosis desc, layer, neuron
