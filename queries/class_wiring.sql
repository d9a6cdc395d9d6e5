-- Wires from IO class to IO class, beside what random directions would give and what would be if classes did not matter.
-- needs: wiring
-- :model model = null          only this model
-- :reads vector = null         only wires that this vector reads: gate or in
-- :threshold fraction = 0.5    of the classes: a |cosine| beyond it counts
with
classed as (
    select c.model, c.layer, c.neuron, c.io_class, coalesce(n.flipped, false) as flipped
    from io_classes($threshold) c
    join neurons n using (model, layer, neuron)
    where $model is null or c.model = $model
),
counts as (
    select model, layer, io_class, count(*) as n
    from classed
    where io_class is not null
    group by model, layer, io_class
),
pairs as (  -- of neurons of two layers, by their classes
    select a.model, a.io_class as from_class, b.io_class as to_class, sum(a.n * b.n) as n_pairs
    from counts a
    join counts b on b.model = a.model and b.layer > a.layer
    group by all
),
totals as (
    select model, sum(n_pairs) as n_pairs
    from pairs
    group by model
),
sizes as (
    select model, sum(n) as n_neurons
    from counts
    group by model
),
strong as (
    select
        w.model,
        a.io_class as from_class,
        b.io_class as to_class,
        w.reads,
        abs(w.cosine) as strength,
        -- The sign of the canonical reading, in which no neuron is flipped.
        w.cosine * if(a.flipped, -1, 1) * if(b.flipped and w.reads = 'in', -1, 1) > 0 as positive
    from wires w
    join classed a using (model, layer, neuron)
    join classed b on b.model = w.model and b.layer = w.to_layer and b.neuron = w.to_neuron
    where a.io_class is not null
        and b.io_class is not null
        and ($model is null or w.model = $model)
        and ($reads is null or w.reads = $reads)
),
read as (
    select model, reads, count(*) as n_wires
    from strong
    group by model, reads
),
counted as (
    select
        model,
        from_class,
        to_class,
        reads,
        count(*) as n_wires,
        count(*) filter (where positive) as n_positive,
        median(strength) as median_cosine
    from strong
    group by all
)
select
    model,
    from_class,
    to_class,
    reads,
    coalesce(c.n_wires, 0) as n_wires,
    round(p.n_pairs / s.n_neurons, 2) as by_chance,
    round(r.n_wires * p.n_pairs / t.n_pairs, 2) as if_classes_did_not_matter,
    round(c.n_positive / c.n_wires, 3) as share_positive,
    round(c.median_cosine, 3) as median_cosine
from pairs p
join totals t using (model)
join sizes s using (model)
join read r using (model)
left join counted c using (model, from_class, to_class, reads)
order by n_wires desc, model, from_class, to_class, reads
