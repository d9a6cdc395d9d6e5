-- Quartiles of the three cosines, by layer (paper, figures 4, 9 and 10).
-- :model model = null         only this model
-- :absolute boolean = true    without sign for the two cosines of w_gate, as the paper has them
with
cosines as (
    select
        model,
        layer,
        gated,
        if($absolute, abs(cos_gate_in), cos_gate_in) as gate_in,
        if($absolute, abs(cos_gate_out), cos_gate_out) as gate_out,
        cos_in_out as in_out
    from neurons
    join (select model, gated from models) using (model)
    where $model is null or model = $model
),
by_layer as (
    select
        model,
        layer,
        gated,
        unnest(['gate, in', 'gate, out', 'in, out']) as cosine,
        unnest([
            quantile_cont(gate_in, [0, 0.25, 0.5, 0.75, 1]),
            quantile_cont(gate_out, [0, 0.25, 0.5, 0.75, 1]),
            quantile_cont(in_out, [0, 0.25, 0.5, 0.75, 1])
        ]) as q,
        unnest([count(gate_in), count(gate_out), count(in_out)]) as neurons
    from cosines
    group by model, layer, gated
),
placed as (  -- on a line from -1 to +1, 41 characters long
    select *, list_transform(q, lambda x: round((x + 1) * 20)::integer) as place from by_layer
)
select
    model,
    layer,
    cosine,
    q[1] as lowest,
    q[2] as q1,
    q[3] as median,
    q[4] as q3,
    q[5] as highest,
    repeat(' ', place[1]) || repeat('─', place[2] - place[1])
        || repeat('▒', place[3] - place[2]) || '┃' || repeat('▒', place[4] - place[3])
        || repeat('─', place[5] - place[4]) as box,
    neurons
from placed
where gated or cosine = 'in, out'
order by model, cosine, layer
