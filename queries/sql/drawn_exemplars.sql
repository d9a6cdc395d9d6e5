-- Exemplars drawn at random (always the same ones), with all that recomputing them needs.
with drawn as (
    select e.*, c.model_id, c.corpus_id
    from exemplar e
    join current_rows c on c.run_id = e.run_id and c.bulk_table = 'exemplar'
    join model m on m.model_id = c.model_id
    join model_corpus mc on mc.model_id = c.model_id and mc.corpus_id = c.corpus_id
    where m.alias = $model and ($corpus is null or mc.name = $corpus)
    order by hash(e.layer, e.neuron, e.sign_case, e.rank), e.layer, e.neuron, e.sign_case, e.rank
    limit $n
)
select
    m.alias as model, m.source, m.revision, m.fingerprint, r.dtype, mc.name as corpus,
    d.layer, d.neuron, d.sign_case, d.rank, d.post, d.x_gate, d.x_in, d.context_id, d.position,
    window_start_at(d.position) as window_start, d.window_scale, d.window_post, x.token_ids
from drawn d
join model m on m.model_id = d.model_id
join model_corpus mc on mc.model_id = d.model_id and mc.corpus_id = d.corpus_id
join ingest_run r on r.run_id = d.run_id
join context x on x.corpus_id = d.corpus_id and x.context_id = d.context_id
order by corpus, d.context_id, d.layer, d.neuron, d.sign_case, d.rank
