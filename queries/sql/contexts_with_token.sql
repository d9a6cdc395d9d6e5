-- The first contexts of a corpus that hold a piece at a position that counts, whole, until $max_tokens are read.
with entry as (
    select mc.corpus_id, list(k.token_id order by k.token_id) as sought,
        -- Also where no start token was asked for by name, the first position is special.
        any_value(co.start_token_id) is not null
            or any_value(co.parameters->>'$.start_token') is not null as starts_special
    from model m
    join model_corpus mc using (model_id)
    join corpus co using (corpus_id)
    join token k on k.vocabulary_id = m.vocabulary_id
    where m.alias = $model and mc.name = $corpus and k.token = $token
    group by all
),
holding as (
    select
        x.context_id,
        x.token_ids,
        e.sought,
        e.starts_special,
        count(*) over () as n_holding,
        sum(len(x.token_ids)) over (order by x.context_id) - len(x.token_ids) as n_read_before
    from context x
    join entry e using (corpus_id)
    where list_has_any(x.token_ids[2:], e.sought)
)
select context_id, token_ids, sought, starts_special, n_holding
from holding
where n_read_before < $max_tokens
order by context_id
