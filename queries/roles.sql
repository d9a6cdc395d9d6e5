-- Functional roles by the rule of the paper's appendix F, with its quantities, at any parameters.
-- needs: roles
-- :model model = null                        only this model
-- :role role = null                          only this role
-- :partition integer = rule                  partition neurons in 352,256 neurons (OLMo-7B's), rounded up
-- :moments integer = rule                    prediction and suppression neurons in 352,256, rounded up
-- :min_kurtosis double = rule                only those of excess kurtosis above it
-- :kurtosis kurtosis = null                  an excess kurtosis in place of both, or partition: the highest among partition neurons (published)
-- :n_entropy integer = rule                  at most so many entropy neurons, in the last layer
-- :iqr_factor double = rule                  their share must be above Q3 + iqr_factor * IQR of that layer
-- :attention_cutoff fraction = rule          on |cosine| with a head
-- :layers_ahead integer = rule               heads of so many next layers count, if they were scored
-- :sign role_sign = apriori                  what tells prediction from suppression: the weights (apriori), or post where the gate is open on a corpus (observed)
-- :corpus corpus = null                      that corpus; needed where there are several
with
judged as (
    from functional_roles(
        $partition, $moments, $min_kurtosis, $kurtosis, $n_entropy, $iqr_factor,
        $attention_cutoff, $layers_ahead
    )
    where $model is null or model = $model
),
observed as (
    select model, layer, neuron, sum(frequency * coalesce(mean_post, 0)) as post
    from activation_stats
    where $sign = 'observed'
        and sign_case in ('gate+_in+', 'gate+_in-')
        and ($model is null or model = $model)
        and ($corpus is null or corpus = $corpus)
    group by model, layer, neuron
    having count(distinct corpus) = 1
        or error('sign=observed needs one corpus, and there are several: name it with corpus=NAME.')
),
decided as (
    select
        j.* exclude (functional_role),
        case
            when $sign = 'apriori' or not j.writes then j.functional_role
            when not m.gated then error('sign=observed is about the gate, and ' || model || ' has none.')
            when o.post is null then error('sign=observed needs activations of ' || model || ': ingest it with a corpus.')
            when o.post * n.vocab_skew > 0 then 'prediction'
            when o.post * n.vocab_skew < 0 then 'suppression'
            else j.otherwise
        end as functional_role
    from judged j
    join models m using (model)
    join neurons n using (model, layer, neuron)
    left join observed o using (model, layer, neuron)
)
select
    model,
    n.neuron_id,
    d.functional_role,
    n.io_class,
    n.vocab_variance,
    n.vocab_skew,
    n.vocab_kurtosis,
    n.null_space_share
from decided d
join neurons n using (model, layer, neuron)
where $role is null or d.functional_role = $role
order by model, layer, neuron
