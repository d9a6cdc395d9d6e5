-- Neurons whose exemplars go on with one of the neuron's own top tokens: of w_out where post > 0, of -w_out where post < 0.
-- needs: vocab, activations
-- :model model = null       only this model
-- :corpus corpus = null     only this corpus
-- :layer layer = null       only this layer
-- :sign sign = null         + or -: only exemplars with this sign of post
-- :top integer = 5          tokens compared of each list
-- :strongest integer = 4    exemplars compared of each sign case
-- :k integer = 50           how many
with
written as (
    select model, layer, neuron, sign, token_id
    from top_tokens
    where vector = 'out'
        and basis = 'unembed'
        and rank <= $top
        and ($model is null or model = $model)
        and ($layer is null or layer = $layer)
        and ($sign is null or sign = $sign)
),
followed as (
    select
        model,
        corpus,
        layer,
        neuron,
        sign_case,
        if(post > 0, '+', '-') as sign,
        next_token_id as token_id,
        next_token
    from exemplars
    where next_token_id is not null
        and rank <= $strongest
        and ($model is null or model = $model)
        and ($corpus is null or corpus = $corpus)
        and ($layer is null or layer = $layer)
),
hits as (
    select
        model,
        corpus,
        layer,
        neuron,
        sign_case,
        any_value(sign) as sign,
        count(*) as n_exemplars,
        list(distinct next_token order by next_token) as tokens
    from followed
    join written using (model, layer, neuron, sign, token_id)
    group by model, corpus, layer, neuron, sign_case
    order by n_exemplars desc, model, corpus, layer, neuron, sign_case
    limit $k
)
select
    model,
    h.corpus,
    n.neuron_id,
    h.sign_case,
    h.sign,
    h.n_exemplars,
    h.tokens,
    n.io_class,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out
from hits h
join neurons n using (model, layer, neuron)
order by h.n_exemplars desc, model, h.corpus, layer, neuron, h.sign_case
