-- Neurons whose exemplars go on with one of the neuron's own top tokens: of w_out where post > 0, of -w_out where post < 0. First come those of largest `at_least`, the lower end of the 95% interval (Wilson) of how many do among all of a sign case: 16 of 16 before 3 of 3.
-- needs: vocab, activations
-- :model model = null       only this model
-- :corpus corpus = null     only this corpus
-- :layer layer = null       only this layer
-- :sign sign = null         + or -: only exemplars with this sign of post
-- :top integer = 5          tokens compared of each list
-- :strongest integer = 4    one of so many strongest exemplars of the sign case goes on so
-- :k integer = 50           how many
with
written as not materialized (
    select model, layer, neuron, sign, token_id
    from top_tokens
    where vector = 'out'
        and basis = 'unembed'
        and rank <= $top
        and ($model is null or model = $model)
        and ($layer is null or layer = $layer)
        and ($sign is null or sign = $sign)
),
followed as not materialized (
    select
        model,
        corpus,
        layer,
        neuron,
        sign_case,
        rank,
        if(post > 0, '+', '-') as sign,
        next_token_id as token_id,
        next_token
    from exemplars
    where next_token_id is not null
        and ($model is null or model = $model)
        and ($corpus is null or corpus = $corpus)
        and ($layer is null or layer = $layer)
),
-- Most neurons go on with none of their tokens: the strongest tell whose exemplars are worth counting.
candidates as materialized (
    select distinct model, corpus, layer, neuron, sign_case
    from followed
    join written using (model, layer, neuron, sign, token_id)
    where rank <= $strongest
),
written_by_these as (
    from written
    semi join candidates using (model, layer, neuron)
),
counted as (
    select
        model,
        corpus,
        layer,
        neuron,
        sign_case,
        any_value(sign) as sign,
        count(w.token_id) as n_exemplars,
        count(*) as n_compared,
        list(distinct next_token order by next_token) filter (where w.token_id is not null) as tokens
    from followed
    join candidates using (model, corpus, layer, neuron, sign_case)
    left join written_by_these w using (model, layer, neuron, sign, token_id)
    group by model, corpus, layer, neuron, sign_case
),
ranked as (
    select
        *,
        -- Wilson's interval at z = 1.96; z² = 3.8416.
        (
            n_exemplars + 1.9208
            - 1.96 * sqrt(n_exemplars * (n_compared - n_exemplars) / n_compared + 0.9604)
        ) / (n_compared + 3.8416) as at_least
    from counted
    order by at_least desc, model, corpus, layer, neuron, sign_case
    limit $k
)
select
    model,
    r.corpus,
    n.neuron_id,
    r.sign_case,
    r.sign,
    r.n_exemplars,
    r.n_compared,
    r.at_least,
    r.tokens,
    n.io_class,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out
from ranked r
join neurons n using (model, layer, neuron)
order by r.at_least desc, model, r.corpus, layer, neuron, r.sign_case
