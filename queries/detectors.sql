-- Detectors: neurons of whose firings (gate > 0; without a gate, in > 0) at most five input tokens make 95%, those with the fewest tokens first.
-- needs: weights, detectors
-- :token text = null        only detectors of this token, with its leading space if it has one: -p "token= again"
-- :model model = null       only this model
-- :corpus corpus = null     only this corpus
-- :k integer = 50           how many
with chosen as (
    select *, list_sum(n_fired_on) / n_fired as covered
    from detectors
    where n_cover_95 is not null
        and ($model is null or model = $model)
        and ($corpus is null or corpus = $corpus)
        and ($token is null or list_contains(tokens, $token))
    order by n_cover_95, n_fired desc, model, corpus, layer, neuron
    limit $k
)
select
    model,
    c.corpus,
    n.neuron_id,
    c.tokens,
    c.n_fired,
    c.n_fired_on,
    c.covered,
    n.io_class,
    n.functional_role,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out
from chosen c
join neurons n using (model, layer, neuron)
order by c.n_cover_95, c.n_fired desc, model, c.corpus, layer, neuron
