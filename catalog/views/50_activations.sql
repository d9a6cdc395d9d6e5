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
join current_rows c
    on c.bulk_table = 'exemplar' and c.model_id = mc.model_id and c.corpus_id = mc.corpus_id;

comment on view corpora is 'One row per corpus as tokenised for a model.';
comment on column corpora.model is 'alias of the entry';
comment on column corpora.source is 'where its documents came from';
comment on column corpora.corpus is 'name of the corpus';
comment on column corpora.n_contexts is 'contexts kept, exact duplicates dropped';
comment on column corpora.n_tokens is 'tokens in these contexts, start tokens included';
comment on column corpora.context_length is 'longest context, in tokens';
comment on column corpora.start_token_id is 'token every context begins with; NULL if there is none';
comment on column corpora.special_tokens is 'excluded from or counted in statistics and rankings';
comment on column corpora.digest is 'identifies the corpus as tokenised';

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
join current_rows c
    on c.bulk_table = 'exemplar' and c.model_id = mc.model_id and c.corpus_id = mc.corpus_id;

comment on view contexts is 'One row per context of a corpus as tokenised for a model.';
comment on column contexts.model is 'alias of the entry';
comment on column contexts.corpus is 'name of the corpus';
comment on column contexts.context_id is 'from 0, within the corpus';
comment on column contexts.n_tokens is 'tokens, the start token included';
comment on column contexts.source_ref is 'document the context was cut from';
comment on column contexts.text is 'text of the context';

create or replace view activation_stats as
select
    m.alias as model,
    mc.name as corpus,
    s.layer,
    s.neuron,
    s.sign_case,
    s.n_positions,
    s.n_in_case / nullif(s.n_positions, 0) as frequency,
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

comment on view activation_stats is 'Four rows per neuron and corpus: how often each sign case occurs, and how strongly.';
comment on column activation_stats.model is 'alias of the entry';
comment on column activation_stats.corpus is 'name of the corpus';
comment on column activation_stats.layer is 'layer, from 0';
comment on column activation_stats.neuron is 'neuron within the layer, from 0';
comment on column activation_stats.sign_case is 'signs of gate and in: gate+_in+, gate+_in-, gate-_in+, gate-_in-';
comment on column activation_stats.n_positions is 'counted positions of the corpus';
comment on column activation_stats.frequency is 'share of the counted positions in this case';
comment on column activation_stats.mean_post is 'mean of post over the positions in this case; NULL if there are none';
comment on column activation_stats.extreme_post is 'post of largest magnitude in this case';
comment on column activation_stats.mean_gate is 'mean of the gate pre-activation in this case';
comment on column activation_stats.extreme_gate is 'gate pre-activation of largest magnitude in this case';
comment on column activation_stats.mean_in is 'mean of in in this case';
comment on column activation_stats.extreme_in is 'in of largest magnitude in this case';

create or replace view exemplars as
with cut as (
    select
        e.*,
        c.model_id,
        c.corpus_id,
        x.text as context_text,
        x.token_starts,
        x.token_ends,
        greatest(e.position - 23, 0) as window_start,
        greatest(e.position - 23, 0) + len(e.window_post) as window_end
    from exemplar e
    join current_rows c on c.run_id = e.run_id and c.bulk_table = 'exemplar'
    join context x on x.corpus_id = c.corpus_id and x.context_id = e.context_id
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
    m.alias as model,
    mc.name as corpus,
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
join model m on m.model_id = e.model_id
join model_corpus mc on mc.model_id = e.model_id and mc.corpus_id = e.corpus_id
join token k on k.vocabulary_id = m.vocabulary_id and k.token_id = e.token_id
left join token k_next on k_next.vocabulary_id = m.vocabulary_id and k_next.token_id = e.next_token_id;

comment on view exemplars is 'One row per exemplar: the contexts in which a neuron is strongest, by sign case.';
comment on column exemplars.model is 'alias of the entry';
comment on column exemplars.corpus is 'name of the corpus';
comment on column exemplars.layer is 'layer, from 0';
comment on column exemplars.neuron is 'neuron within the layer, from 0';
comment on column exemplars.sign_case is 'signs of gate and in at the peak';
comment on column exemplars.context_id is 'context the exemplar stands in';
comment on column exemplars.token_id is 'id of the token at the peak';
comment on column exemplars.next_token_id is 'id of the next token; NULL at the end of the document';
comment on column exemplars.rank is 'from 1, largest |post| first';
comment on column exemplars.post is 'act(gate) * in at the peak';
comment on column exemplars.x_gate is 'gate pre-activation at the peak';
comment on column exemplars.x_in is 'in at the peak';
comment on column exemplars.position is 'position of the peak in the context, from 0';
comment on column exemplars.token is 'token at the peak';
comment on column exemplars.next_token is 'next token of the document; NULL at its end';
comment on column exemplars.text is 'text of the window, cut from the context';
comment on column exemplars.window_start is 'position of the first token of the window';
comment on column exemplars.window_tokens is 'text of each token of the window';
comment on column exemplars.window_post is 'post at each token of the window';

create or replace view activation_samples as
select
    m.alias as model,
    mc.name as corpus,
    s.layer,
    s.neuron,
    p.context_id,
    p.position,
    (s.post[p.sample + 1] * s.scale)::float as post
from activation_sample s
join current_rows c on c.run_id = s.run_id and c.bulk_table = 'activation_sample'
join sample_position p on p.run_id = s.run_id
join model m on m.model_id = c.model_id
join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id;

comment on view activation_samples is 'One row per neuron and sampled position: what is typical, not only what is extreme.';
comment on column activation_samples.model is 'alias of the entry';
comment on column activation_samples.corpus is 'name of the corpus';
comment on column activation_samples.layer is 'layer, from 0';
comment on column activation_samples.neuron is 'neuron within the layer, from 0';
comment on column activation_samples.context_id is 'context of the position';
comment on column activation_samples.position is 'position in the context, from 0';
comment on column activation_samples.post is 'post at the position, to within 1/254 of the neuron''s largest |post| in the sample';
