create or replace view corpora as
select
    m.alias as model,
    mc.name as corpus,
    co.source,
    co.n_contexts,
    co.n_tokens,
    co.context_length,
    co.start_token_id,
    co.special_tokens,
    co.digest
from corpus co
join model_corpus mc on mc.corpus_id = co.corpus_id
join model m on m.model_id = mc.model_id
semi join current_rows c on c.model_id = mc.model_id and c.corpus_id = mc.corpus_id;

create or replace view contexts as
select
    m.alias as model,
    mc.name as corpus,
    x.context_id,
    x.source_ref,
    len(x.token_ids)::integer as n_tokens,
    x.text
from context x
join model_corpus mc on mc.corpus_id = x.corpus_id
join model m on m.model_id = mc.model_id
semi join current_rows c on c.model_id = mc.model_id and c.corpus_id = mc.corpus_id;

create or replace view activation_stats as
select
    m.alias as model,
    mc.name as corpus,
    s.layer,
    s.neuron,
    s.sign_case,
    s.n_positions,
    s.n_in_case / nullif(s.n_positions, 0) as frequency,
    s.n_routed / nullif(s.n_positions, 0) as routed,
    s.mean_post,
    s.extreme_post,
    s.mean_gate,
    s.extreme_gate,
    s.mean_in,
    s.extreme_in
from activation_stat s
join current_rows c on c.run_id = s.run_id and c.bulk_table = 'activation_stat'
join model m on m.model_id = c.model_id
join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id;

-- Every run has a name, every exemplar a context, and every token a text. The left joins, and conditions
-- that always hold, keep DuckDB from expecting next to no exemplars: it would hash them to look up their
-- tokens, and not the tokens, at ten times the time and in gigabytes.
create or replace view exemplars as
with named_run as (
    select c.run_id, c.corpus_id, m.alias as model, m.vocabulary_id, mc.name as corpus
    from current_rows c
    join model m on m.model_id = c.model_id
    left join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id
    where c.bulk_table = 'exemplar'
),
cut as (
    select
        e.*,
        r.model,
        r.corpus,
        r.vocabulary_id,
        x.text as context_text,
        x.token_starts,
        x.token_ends,
        window_start_at(e.position) as window_start,
        window_start_at(e.position) + len(e.window_post) as window_end
    from exemplar e
    join named_run r on r.run_id = e.run_id
    left join context x on x.corpus_id = r.corpus_id and x.context_id = e.context_id
),
windowed as (  -- cut once, for a lambda copies what it refers to for each of its elements
    select
        *,
        token_starts[window_start + 1:window_end] as starts,
        token_ends[window_start + 1:window_end] as ends,
        substring(
            context_text,
            token_starts[window_start + 1] + 1,
            token_ends[window_end] - token_starts[window_start + 1]
        ) as window_text
    from cut
)
select
    e.model,
    e.corpus,
    e.layer,
    e.neuron,
    e.sign_case,
    e.rank,
    e.post,
    e.x_gate,
    e.x_in,
    e.context_id,
    e.position,
    e.token_id,
    k.token,
    e.next_token_id,
    k_next.token as next_token,
    e.window_text as text,
    e.window_start::integer as window_start,
    list_transform(
        range(1, len(e.starts) + 1),
        lambda i: substring(e.window_text, e.starts[i] - e.starts[1] + 1, e.ends[i] - e.starts[i])
    ) as window_tokens,
    list_transform(e.window_post, lambda p: (p * e.window_scale)::float) as window_post
from windowed e
join token k on k.vocabulary_id = e.vocabulary_id and k.token_id = e.token_id
    and k.token is not null
left join token k_next on k_next.vocabulary_id = e.vocabulary_id and k_next.token_id = e.next_token_id
    and k_next.token is not null;

create or replace view activation_samples as
select
    m.alias as model,
    mc.name as corpus,
    s.layer,
    s.neuron,
    p.context_id,
    p.position,
    sampled_post(r.sample_code, s.post[p.sample + 1], s.scale) as post
from activation_sample s
join current_rows c on c.run_id = s.run_id and c.bulk_table = 'activation_sample'
join ingest_run r on r.run_id = s.run_id
join sample_position p on p.run_id = s.run_id
join model m on m.model_id = c.model_id
join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id;
