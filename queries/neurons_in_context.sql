-- Neurons that have an exemplar in a context, where it peaks, strongest first within the model.
-- needs: activations
-- :corpus corpus            the context's corpus
-- :context integer          the context's number, context_id
-- :model model = null       only this model
-- :k integer = 100          how many
with peaks as (
    select model, layer, neuron, sign_case, rank, post, position, token, next_token
    from exemplars
    where corpus = $corpus
        and context_id = $context
        and ($model is null or model = $model)
    order by rank, abs(post) desc, model, layer, neuron, sign_case
    limit $k
)
select
    model,
    n.neuron_id,
    p.sign_case,
    p.rank,
    p.post,
    p.position,
    p.token,
    p.next_token,
    n.io_class,
    n.functional_role
from peaks p
join neurons n using (model, layer, neuron)
order by p.rank, abs(p.post) desc, model, layer, neuron, p.sign_case
