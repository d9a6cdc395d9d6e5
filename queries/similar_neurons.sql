-- Neurons most like a given one by the top tokens they share; (w_in, w_out) may be flipped together.
-- needs: vocab
-- :neuron neuron            the given neuron, as layer.neuron
-- :model model              its model
-- :among model = null       look only among the neurons of this model
-- :layer layer = null       look only in this layer
-- :vector vector = out      out, in or gate
-- :basis basis = unembed    unembed (W_U) or embed (W_E)
-- :k integer = 20           how many
with
own as (
    select sign, rank, token
    from top_tokens
    where model = $model
        and layer = split_part($neuron, '.', 1)::integer
        and neuron = split_part($neuron, '.', 2)::integer
        and vector = $vector
        and basis = $basis
),
wanted as (  -- the ids of these tokens in every vocabulary
    select t.model, t.token_id, own.sign, own.rank, own.token
    from own
    join tokens t using (token)
    where $among is null or t.model = $among
),
matched as (
    select
        t.model,
        t.layer,
        t.neuron,
        t.sign != w.sign as flipped,
        count(*) as n_shared,
        list(w.token order by w.rank, w.sign) as tokens
    from top_tokens t
    join wanted w using (model, token_id)
    where t.vector = $vector and t.basis = $basis and (t.sign = w.sign or $vector != 'gate')
        and ($layer is null or t.layer = $layer)
    group by all
)
select
    m.model,
    n.neuron_id,
    m.n_shared,
    (select count(*) from own) as n_own,
    m.flipped,
    m.tokens,
    n.io_class,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out
from (
    from matched
    where not (model = $model and layer || '.' || neuron = $neuron)
    order by n_shared desc, model, layer, neuron, flipped
    limit $k
) m
join neurons n using (model, layer, neuron)
order by m.n_shared desc, m.model, m.layer, m.neuron, m.flipped
