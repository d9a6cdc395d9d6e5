-- Box plots of a model's three cosines by layer: quartiles, whiskers that end at the last value
-- within 1.5 interquartile ranges, and the values beyond.
with
cosines as (
    select
        layer,
        unnest(['gate, in', 'gate, out', 'in, out']) as cosine,
        unnest([abs(cos_gate_in), abs(cos_gate_out), cos_in_out]) as value
    from neurons
    where model = $model
),
boxes as (
    select layer, cosine, quantile_cont(value, [0.25, 0.5, 0.75]) as q
    from cosines
    where value is not null
    group by layer, cosine
)
select
    layer,
    cosine,
    q[1] as q1,
    q[2] as med,
    q[3] as q3,
    min(value) filter (where value >= 2.5 * q[1] - 1.5 * q[3]) as whislo,
    max(value) filter (where value <= 2.5 * q[3] - 1.5 * q[1]) as whishi,
    coalesce(
        list(value order by value) filter (
            where value < 2.5 * q[1] - 1.5 * q[3] or value > 2.5 * q[3] - 1.5 * q[1]
        ),
        []
    ) as fliers
from cosines
join boxes using (layer, cosine)
group by layer, cosine, q
order by cosine, layer
