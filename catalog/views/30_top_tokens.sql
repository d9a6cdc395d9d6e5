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

comment on view top_tokens is 'One row per listed token: the k highest and k lowest scores of each weight vector over the vocabulary.';
comment on column top_tokens.model is 'alias of the entry';
comment on column top_tokens.layer is 'layer, from 0';
comment on column top_tokens.neuron is 'neuron within the layer, from 0';
comment on column top_tokens.vector is 'gate, in or out';
comment on column top_tokens.basis is 'unembed: scores with W_U (logit lens); embed: with W_E';
comment on column top_tokens.sign is '+ for the highest scores, - for the lowest';
comment on column top_tokens.rank is 'from 1, the most extreme first';
comment on column top_tokens.token_id is 'id of the token in the vocabulary';
comment on column top_tokens.token is 'vocabulary piece, its space marker as a space';
comment on column top_tokens.score is 'dot product of the vector with the token''s column';
