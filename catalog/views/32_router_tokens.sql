create or replace view router_tokens as
select
    m.alias as model,
    t.layer,
    t.expert,
    t.basis,
    t.sign,
    t.rank,
    t.token_id,
    k.token,
    t.score
from router_token t
join current_rows c on c.run_id = t.run_id and c.bulk_table = 'router_token'
join model m on m.model_id = c.model_id
join token k on k.vocabulary_id = m.vocabulary_id and k.token_id = t.token_id;
