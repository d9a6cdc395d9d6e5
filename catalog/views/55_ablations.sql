create or replace view ablations as
select
    a.ablation_id,
    m.alias as model,
    mc.name as corpus,
    a.subset,
    a.n_neurons,
    a.kind,
    a.gate_sign,
    a.post_sign,
    a.baseline,
    a.draw,
    a.seed,
    a.n_contexts,
    a.n_positions,
    a.n_matched,
    a.n_neighbour,
    a.n_unmatched,
    r.finished_at as created_at
from ablation a
join current_rows c on c.run_id = a.run_id and c.bulk_table = 'ablation'
join ingest_run r on r.run_id = a.run_id
join model m on m.model_id = c.model_id
join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id;

create or replace view ablation_effects as
select
    r.subject as ablation_id,
    m.alias as model,
    mc.name as corpus,
    e.baseline,
    e.draw,
    e.metric,
    e.n_positions,
    e.n_nonfinite,
    e.mean,
    e.sd,
    e.min,
    e.q25,
    e.median,
    e.q75,
    e.max
from ablation_effect e
join current_rows c on c.run_id = e.run_id and c.bulk_table = 'ablation_effect'
join ingest_run r on r.run_id = e.run_id
join model m on m.model_id = c.model_id
join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id;

create or replace view ablation_differences as
select
    r.subject as ablation_id,
    m.alias as model,
    mc.name as corpus,
    d.baseline,
    d.metric,
    d.n_draws,
    d.difference,
    d.low,
    d.high
from ablation_difference d
join current_rows c on c.run_id = d.run_id and c.bulk_table = 'ablation_difference'
join ingest_run r on r.run_id = d.run_id
join model m on m.model_id = c.model_id
join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id;

create or replace view ablation_positions as
select
    r.subject as ablation_id,
    m.alias as model,
    mc.name as corpus,
    p.metric,
    p.sign,
    p.rank,
    p.context_id,
    p.position,
    p.token_id,
    k.token,
    p.next_token_id,
    k_next.token as next_token,
    p.effect
from ablation_position p
join current_rows c on c.run_id = p.run_id and c.bulk_table = 'ablation_position'
join ingest_run r on r.run_id = p.run_id
join model m on m.model_id = c.model_id
join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id
join token k on k.vocabulary_id = m.vocabulary_id and k.token_id = p.token_id
left join token k_next on k_next.vocabulary_id = m.vocabulary_id and k_next.token_id = p.next_token_id;

create or replace view attributions as
select
    m.alias as model,
    mc.name as corpus,
    a.layer,
    a.neuron,
    a.effect,
    a.magnitude
from attribution a
join current_rows c on c.run_id = a.run_id and c.bulk_table = 'attribution'
join model m on m.model_id = c.model_id
join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id;
