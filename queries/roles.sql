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
corpora_run as (
    select
        m.model,
        m.gated,
        list(distinct c.corpus order by c.corpus) filter (where c.corpus is not null) as names
    from models m
    join ingest_runs r on r.model = m.model and r.stage = 'roles' and r.status = 'finished'
    left join corpora c on c.model = m.model and ($corpus is null or c.corpus = $corpus)
    where $sign = 'observed' and ($model is null or m.model = $model)
    group by m.model, m.gated
),
looked_at as (
    select
        model,
        case
            when not gated then error(
                'sign=observed is about the gate, and ' || model || ' has none. Name another model '
                'with model=NAME, or leave sign=observed out.'
            )
            when len(names) = 1 then names[1]
            when len(names) > 1 then error(
                'sign=observed needs one corpus, and ' || model || ' has '
                || array_to_string(names, ', ') || '. Name one with corpus=NAME.'
            )
            else error(
                'sign=observed needs activations' || coalesce(' on ' || $corpus, '') || ', and '
                || model || ' has none. Ingest it with a corpus, or name another model with '
                'model=NAME.'
            )
        end as corpus
    from corpora_run
),
observed as (
    select model, layer, neuron, sum(frequency * coalesce(mean_post, 0)) as post
    from activation_stats
    join looked_at using (model, corpus)
    where sign_case in ('gate+_in+', 'gate+_in-')
    group by model, layer, neuron
),
decided as (
    select
        j.* exclude (functional_role),
        case
            when l.corpus is null or not j.writes then j.functional_role
            when o.post * n.vocab_skew > 0 then 'prediction'
            when o.post * n.vocab_skew < 0 then 'suppression'
            else j.otherwise
        end as functional_role
    from judged j
    join neurons n using (model, layer, neuron)
    left join looked_at l using (model)
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
