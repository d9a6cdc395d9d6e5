create or replace view wires as
select
    m.alias as model,
    w.layer,
    w.neuron,
    w.to_layer,
    w.to_neuron,
    w.reads,
    w.cosine,
    w.rank_to,
    w.rank_from
from wire w
join current_rows c on c.run_id = w.run_id and c.bulk_table = 'wire'
join model m on m.model_id = c.model_id;

create or replace view twins as
select
    m.alias as model,
    t.layer,
    t.neuron,
    t.vector,
    t.other_layer,
    t.other_neuron,
    t.cosine,
    t.rank
from twin t
join current_rows c on c.run_id = t.run_id and c.bulk_table = 'twin'
join model m on m.model_id = c.model_id;
