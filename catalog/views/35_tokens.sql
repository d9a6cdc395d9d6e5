create or replace view tokens as
select
    m.alias as model,
    k.token_id,
    k.token
from token k
join model m on m.vocabulary_id = k.vocabulary_id;
