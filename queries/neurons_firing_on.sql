-- Neurons whose exemplars of a sign case peak at a token, most exemplars first; also cases whose gate is closed, where a neuron does not fire and still writes. By how selective they are: catalog firing TOKEN.
-- needs: activations
-- :token text                    the token, with its leading space if it has one: -p "token= again"
-- :model model = null            only this model
-- :corpus corpus = null          only this corpus
-- :sign_case sign_case = null    only this case, e.g. gate+_in+; a neuron fires in gate+_in+ and gate+_in- (without a gate: in+)
-- :k integer = 50                how many
with peaks as (
    select
        model,
        corpus,
        layer,
        neuron,
        sign_case,
        count(*) as n_exemplars,  -- of this neuron and case, whose peak is at the token
        min(rank) as best_rank,
        arg_min(post, rank) as strongest_post
    from exemplars
    where token = $token
        and ($model is null or model = $model)
        and ($corpus is null or corpus = $corpus)
        and ($sign_case is null or sign_case = $sign_case)
    group by all
    order by n_exemplars desc, best_rank, abs(strongest_post) desc,
        model, corpus, layer, neuron, sign_case
    limit $k
)
select
    model,
    p.corpus,
    n.neuron_id,
    p.sign_case,
    p.n_exemplars,
    p.best_rank,
    p.strongest_post,
    n.io_class,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out
from peaks p
join neurons n using (model, layer, neuron)
order by p.n_exemplars desc, p.best_rank, abs(p.strongest_post) desc,
    model, p.corpus, layer, neuron, p.sign_case
