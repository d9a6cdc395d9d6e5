create or replace view top_tokens as
select
    m.alias as model,
    t.layer,
    t.neuron,
    d.vector,
    d.basis,
    d.sign,
    t.rank,
    t.token_id,
    k.token,
    t.score
from top_token t
join current_rows c on c.run_id = t.run_id and c.bulk_table = 'top_token'
join model m on m.model_id = c.model_id
join direction d on d.direction = t.direction
join token k on k.vocabulary_id = m.vocabulary_id and k.token_id = t.token_id;
