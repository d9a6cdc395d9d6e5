-- The exemplars of one neuron on one corpus.
select e.sign_case, e.rank, e.post, e.x_gate, e.x_in, e.context_id, c.source_ref, e.position,
    e.token_id, e.token, e.next_token_id, e.next_token, e.text, e.window_start, e.window_tokens,
    e.window_post
from exemplars e
join contexts c using (model, corpus, context_id)
where e.model = $model and e.corpus = $corpus and e.layer = $layer and e.neuron = $neuron
order by e.sign_case, e.rank
