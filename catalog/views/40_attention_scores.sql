create or replace view attention_scores as
select
    m.alias as model,
    a.layer,
    a.neuron,
    a.head_layer,
    a.head,
    a.cosine
from attention_score a
join current_rows c on c.run_id = a.run_id and c.bulk_table = 'attention_score'
join model m on m.model_id = c.model_id;

comment on view attention_scores is 'One row per neuron and attention head kept: cosine of w_out with what the head''s queries compare to the start token''s key.';
comment on column attention_scores.model is 'alias of the entry';
comment on column attention_scores.layer is 'layer, from 0';
comment on column attention_scores.neuron is 'neuron within the layer, from 0';
comment on column attention_scores.head_layer is 'layer of the attention head';
comment on column attention_scores.head is 'query head within that layer';
comment on column attention_scores.cosine is 'cosine of w_out and W_Q k_BOS of that head';
