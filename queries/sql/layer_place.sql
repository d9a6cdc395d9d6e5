-- Where each cosine of the neuron stands among those of its layer: quartiles, and share below it.
-- $canonical: each neuron's as in its canonical reading, with cos(w_gate, w_in) not negative.
with layer_cosines as (
    select neuron, unnest(['cos_gate_in', 'cos_gate_out', 'cos_in_out']) as cosine,
        unnest([side * cos_gate_in, side * cos_gate_out, cos_in_out]) as value
    from (
        select *, case when $canonical and flipped then -1 else 1 end as side
        from neurons
        where model = $model and layer = $layer
    )
),
own as (select cosine, value from layer_cosines where neuron = $neuron)
select
    l.cosine,
    any_value(own.value) as value,
    min(l.value) as lowest,
    quantile_cont(l.value, 0.25) as q1,
    median(l.value) as median,
    quantile_cont(l.value, 0.75) as q3,
    max(l.value) as highest,
    count(*) filter (where l.value < own.value) / nullif(count(l.value), 0) as share_below
from layer_cosines l join own using (cosine)
group by l.cosine
order by l.cosine
