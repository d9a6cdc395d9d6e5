-- The cosines of a layer: quartiles, and in `ordered` those of all neurons that have them.
-- $canonical: each neuron's as in its canonical reading, with cos(w_gate, w_in) not negative.
with layer_cosines as (
    select
        unnest(['cos_gate_in', 'cos_gate_out', 'cos_in_out']) as cosine,
        unnest([side * cos_gate_in, side * cos_gate_out, cos_in_out]) as value
    from (
        select *, case when $canonical and flipped then -1 else 1 end as side
        from neurons
        where model = $model and layer = $layer
    )
)
select
    cosine,
    min(value) as lowest,
    quantile_cont(value, 0.25) as q1,
    median(value) as median,
    quantile_cont(value, 0.75) as q3,
    max(value) as highest,
    coalesce(list(value order by value) filter (where value is not null), []) as ordered
from layer_cosines
group by cosine
order by cosine
