create or replace view detectors as
with listed as (  -- few neurons have any
    select run_id, layer, neuron, unnest(token_ids) as token_id, unnest(range(len(token_ids))) as place
    from detector
    where token_ids is not null
),
named as (
    select l.run_id, l.layer, l.neuron, list(k.token order by l.place) as tokens
    from listed l
    join current_rows c on c.run_id = l.run_id and c.bulk_table = 'detector'
    join model m on m.model_id = c.model_id
    join token k on k.vocabulary_id = m.vocabulary_id and k.token_id = l.token_id
    group by l.run_id, l.layer, l.neuron
)
select
    m.alias as model,
    mc.name as corpus,
    d.layer,
    d.neuron,
    d.n_fired = 0 as dead,
    len(d.token_ids)::integer as n_cover_95,
    n.tokens,
    d.n_fired,
    d.token_ids,
    d.n_fired_on
from detector d
join current_rows c on c.run_id = d.run_id and c.bulk_table = 'detector'
join model m on m.model_id = c.model_id
join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id
left join named n on n.run_id = d.run_id and n.layer = d.layer and n.neuron = d.neuron;
