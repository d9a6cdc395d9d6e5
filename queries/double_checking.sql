-- Double checking: w_gate and w_in are orthogonal, yet share top tokens, most shared first (paper, section 7.2).
-- needs: vocab
-- reads: gate
-- :model model = null          only this model; several large ones together take long
-- :layer layer = null          only this layer
-- :threshold fraction = 0.5    orthogonal is a |cos(w_gate, w_in)| up to it
-- :basis basis = unembed       unembed (W_U) or embed (W_E)
-- :top integer = 5             tokens compared of each list
-- :shared integer = 2          at least so many in common
-- :k integer = 50              how many
with
read as (
    select model, layer, neuron, vector, sign, rank, token_id, token
    from top_tokens
    where basis = $basis
        and rank <= $top
        and vector in ('gate', 'in')
        and ($model is null or model = $model)
        and ($layer is null or layer = $layer)
),
common as (
    select
        g.model,
        g.layer,
        g.neuron,
        g.sign as gate_sign,
        i.sign as in_sign,
        count(*) as n_shared,
        list(g.token order by g.rank) as tokens
    from read g
    join read i using (model, layer, neuron, token_id)
    where g.vector = 'gate' and i.vector = 'in'
    group by all
    having n_shared >= $shared
)
select
    model,
    n.neuron_id,
    n.io_class,
    c.gate_sign,
    c.in_sign,
    c.n_shared,
    c.tokens,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out
from common c
join neurons n using (model, layer, neuron)
where abs(n.cos_gate_in) <= $threshold::float
order by c.n_shared desc, abs(n.cos_gate_in), model, layer, neuron, c.gate_sign, c.in_sign
limit $k
