-- Functional roles by the rule of the paper's appendix F, with its quantities, at any parameters.
-- needs: roles
-- :model model = null                                only this model
-- :role role = null                                  only this role
-- :partition double = 1000                           partition neurons in 352,256 neurons (OLMo-7B's), rounded up
-- :kurtosis double = null                            excess kurtosis above which a neuron predicts or suppresses; null: the highest among partition neurons
-- :n_entropy integer = 2                             at most so many entropy neurons, in the last layer
-- :iqr_factor double = 3                             their share must be above Q3 + iqr_factor * IQR of that layer
-- :attention_cutoff fraction = 0.7071067811865476    on |cosine| with a head
-- :layers_ahead integer = 1                          heads of so many next layers count, if they were scored
select
    r.model,
    n.neuron_id,
    r.functional_role,
    n.io_class,
    n.vocab_variance,
    n.vocab_skew,
    n.vocab_kurtosis,
    n.null_space_share
from functional_roles(
    $partition, $kurtosis, $n_entropy, $iqr_factor, $attention_cutoff, $layers_ahead
) r
join neurons n using (model, layer, neuron)
where ($model is null or r.model = $model) and ($role is null or r.functional_role = $role)
order by r.model, r.layer, r.neuron
