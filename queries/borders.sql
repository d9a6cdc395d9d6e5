-- How far neurons are from the border of their IO class, nearest first, and which cosines are beyond chance.
-- :neuron neuron = null        only this neuron, as layer.neuron
-- :model model = null          only this model
-- :layer layer = null          only this layer
-- :threshold fraction = 0.5    a |cosine| beyond it counts
-- :k integer = 50              how many
with
measured as (
    select
        n.*,
        m.gated,
        m.chance_95,
        m.chance_999,
        abs(abs(cos_in_out) - $threshold::float) as in_out_away,
        abs(abs(cos_gate_out) - $threshold::float) as gate_out_away
    from neurons n
    join models m using (model)
    where ($model is null or model = $model)
        and ($layer is null or layer = $layer)
        and (
            $neuron is null
            or layer = split_part($neuron, '.', 1)::integer
            and neuron = split_part($neuron, '.', 2)::integer
        )
        and n.io_class is not null
),
nearest as (
    select *, least(in_out_away, gate_out_away) as distance
    from measured
    order by distance, model, layer, neuron
    limit $k
)
select
    model,
    neuron_id,
    io_class_at(gated, cos_gate_out, cos_in_out, $threshold) as io_class,
    distance,
    case  -- the nearer of the two cosines, moved over its border
        when gate_out_away is null or in_out_away <= gate_out_away then io_class_at(
            gated,
            cos_gate_out,
            if(abs(cos_in_out) > $threshold::float, 0, 2 * sign(cos_in_out)),
            $threshold
        )
        else io_class_at(
            gated, if(abs(cos_gate_out) > $threshold::float, 0, 2), cos_in_out, $threshold
        )
    end as class_beyond,
    cos_gate_in,
    cos_gate_out,
    cos_in_out,
    chance_95,
    concat_ws(
        '; ',
        if(abs(cos_gate_in) > chance_95, 'gate, in', null),
        if(abs(cos_gate_out) > chance_95, 'gate, out', null),
        if(abs(cos_in_out) > chance_95, 'in, out', null)
    ) as beyond_95,
    chance_999,
    concat_ws(
        '; ',
        if(abs(cos_gate_in) > chance_999, 'gate, in', null),
        if(abs(cos_gate_out) > chance_999, 'gate, out', null),
        if(abs(cos_in_out) > chance_999, 'in, out', null)
    ) as beyond_999
from nearest
order by distance, model, layer, neuron
