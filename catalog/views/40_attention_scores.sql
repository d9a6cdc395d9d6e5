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
