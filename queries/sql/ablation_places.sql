-- Where an ablated subset mattered most, with the text before and the token after.
select
    p.ablation_id,
    p.sign,
    p.rank,
    p.effect,
    p.context_id,
    p.position,
    substring(
        x.text,
        x.token_starts[greatest(p.position - 15, 1)] + 1,
        x.token_ends[p.position + 1] - x.token_starts[greatest(p.position - 15, 1)]
    ) as text,
    p.next_token
from ablation_positions p
join model m on m.alias = p.model
join model_corpus mc on mc.model_id = m.model_id and mc.name = p.corpus
join context x on x.corpus_id = mc.corpus_id and x.context_id = p.context_id
where p.ablation_id = $ablation and p.metric = $metric and p.rank <= $k
order by p.sign, p.rank
