-- Neurons among whose top tokens a token is, strongest first; by default those that write it.
-- :token text               the token, with its leading space if it has one: -p "token= again"
-- :vector vector = out      out (what the neuron writes), in or gate (what it reads)
-- :basis basis = unembed    unembed (W_U) or embed (W_E)
-- :sign sign = null         + (towards the token) or - (away from it)
-- :model model = null       only this model
-- :k integer = 50           how many
select
    t.model,
    t.layer || '.' || t.neuron as neuron_id,
    t.sign,
    t.rank,
    t.score,
    n.io_class,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out
from top_tokens t
join neurons n using (model, layer, neuron)
where t.token = $token
    and t.vector = $vector
    and t.basis = $basis
    and ($sign is null or t.sign = $sign)
    and ($model is null or t.model = $model)
order by t.rank, abs(t.score) desc, t.model, t.layer, t.neuron
limit $k
