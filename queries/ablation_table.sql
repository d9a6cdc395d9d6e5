-- What ablated subsets do to a metric, beside their baselines: mean effects, differences, intervals.
-- needs: ablation
-- :ablation text = null          only this ablation, by its id
-- :model model = null            only this model
-- :corpus corpus = null          only this corpus
-- :metric metric = loss          loss, entropy, rank or log_scale
-- :paper_sign boolean = false    clean minus ablated, as the authors print it
with signed as (
    select case when $paper_sign then -1 else 1 end as s
),
drawn as (
    select
        ablation_id, model, corpus, baseline,
        avg(e.mean) as mean,
        avg(a.n_matched) as n_matched,
        avg(a.n_neighbour) as n_neighbour,
        avg(a.n_unmatched) as n_unmatched
    from ablation_effects e
    join ablations a using (ablation_id, model, corpus, baseline, draw)
    where metric = $metric and baseline != 'none' and a.n_neurons > 0
    group by all
)
select
    model,
    corpus,
    a.ablation_id,
    a.subset,
    a.n_neurons,
    a.kind,
    a.gate_sign,
    a.post_sign,
    a.n_positions,
    $metric as metric,
    s * e.mean as effect,
    d.baseline,
    d.n_draws,
    s * b.mean as baseline_effect,
    s * d.difference as difference,
    case when $paper_sign then -d.high else d.low end as low,
    case when $paper_sign then -d.low else d.high end as high,
    b.n_matched,
    b.n_neighbour,
    b.n_unmatched
from ablations a
cross join signed
join ablation_effects e using (ablation_id, model, corpus, baseline, draw)
left join ablation_differences d
    on d.ablation_id = a.ablation_id and d.model = a.model and d.corpus = a.corpus
    and d.metric = $metric
left join drawn b
    on b.ablation_id = a.ablation_id and b.model = a.model and b.corpus = a.corpus
    and b.baseline = d.baseline
where a.baseline = 'none'
    and e.metric = $metric
    and ($ablation is null or a.ablation_id = $ablation)
    and ($model is null or a.model = $model)
    and ($corpus is null or a.corpus = $corpus)
order by
    model, corpus, a.kind, a.gate_sign nulls first, a.post_sign nulls first, effect desc,
    a.ablation_id, d.baseline = 'frequency', d.baseline
