-- Who reads one neuron, whom it reads, and its twins; the nearest with the token that they write most.
with neighbours as (
    select
        'reader' as side, to_layer as layer, to_neuron as neuron, reads as vector, cosine, rank_to as rank
    from wires
    where model = $model and layer = $layer and neuron = $neuron and rank_to is not null
    union all
    select 'writer', layer, neuron, reads, cosine, rank_from
    from wires
    where model = $model and to_layer = $layer and to_neuron = $neuron and rank_from is not null
    union all
    select 'twin', other_layer, other_neuron, vector, cosine, rank
    from twins
    where model = $model and layer = $layer and neuron = $neuron
),
near as (  -- six of each list: up to 50 neurons DuckDB looks for while it scans the tokens
    select distinct layer, neuron
    from neighbours
    where rank <= 6
),
written as (
    select
        layer,
        neuron,
        first(token order by abs(score) desc, sign) as token,
        first(sign order by abs(score) desc, sign) as sign
    from top_tokens
    join near using (layer, neuron)
    where model = $model and vector = 'out' and basis = 'unembed' and rank = 1
    group by layer, neuron
)
select
    o.side,
    o.vector,
    o.rank,
    o.cosine,
    layer,
    neuron,
    n.neuron_id,
    n.io_class,
    n.functional_role,
    n.flipped,
    w.token,
    w.sign
from neighbours o
join neurons n using (layer, neuron)
left join written w using (layer, neuron)
where n.model = $model
order by o.side, o.vector, o.rank
