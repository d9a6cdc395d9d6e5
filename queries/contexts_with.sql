-- Stored contexts whose text contains some words, with the words around them and how many exemplars lie in each.
-- needs: activations
-- :text text                the words, capital letters and all
-- :model model = null       only as tokenised for this model
-- :corpus corpus = null     only this corpus
-- :k integer = 20           how many
with found as (
    select model, corpus, context_id, source_ref, n_tokens, text,
        strpos(text, $text) as place
    from contexts
    where $text != ''
        and contains(text, $text)
        and ($model is null or model = $model)
        and ($corpus is null or corpus = $corpus)
    order by model, corpus, context_id
    limit $k
),
lying as (
    select model, corpus, context_id, count(*) as n_exemplars
    from found
    join exemplars using (model, corpus, context_id)
    group by all
)
select
    model,
    corpus,
    context_id,
    source_ref,
    n_tokens,
    coalesce(n_exemplars, 0) as n_exemplars,
    if(place > 61, '…', '') || substring(text, greatest(place - 60, 1), 60 + length($text) + 60)
        || if(place + length($text) + 60 <= length(text), '…', '') as around
from found
left join lying using (model, corpus, context_id)
order by model, corpus, context_id
