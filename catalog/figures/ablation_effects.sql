-- How the effects of a model's ablations are distributed: its subsets, and the draws of baselines.
select
    e.ablation_id,
    s.subset,
    s.n_neurons,
    s.kind,
    s.gate_sign,
    s.post_sign,
    e.corpus,
    e.baseline,
    e.draw,
    e.mean,
    e.q25,
    e.median,
    e.q75
from ablation_effects e
join ablations s
    on s.ablation_id = e.ablation_id and s.model = e.model and s.corpus = e.corpus
    and s.baseline = 'none'
where e.model = $model and e.metric = $metric and e.mean is not null
order by
    s.kind, s.gate_sign nulls first, s.post_sign nulls first, s.subset, e.ablation_id,
    e.baseline = 'none' desc, e.baseline = 'frequency', e.draw
