-- Paths of up to four neurons, each reading what the one before writes; longest first, then by their weakest wire.
-- needs: wiring
-- :model model                the model
-- :neuron neuron = null       only paths that begin at this neuron, as layer.neuron
-- :cutoff fraction = 0.6      every |cosine| is above it
-- :reads vector = null        only wires that this vector reads: gate or in
-- :length integer = 4         neurons of the longest path, at most 4
-- :k integer = 20             how many
with recursive
strong as (
    select
        w.layer,
        w.neuron,
        w.to_layer,
        w.to_neuron,
        w.reads,
        w.cosine,
        a.io_class,
        b.io_class as to_class
    from wires w
    join neurons a using (model, layer, neuron)
    join neurons b on b.model = w.model and b.layer = w.to_layer and b.neuron = w.to_neuron
    where w.model = $model
        and abs(w.cosine) > $cutoff::float
        and ($reads is null or w.reads = $reads)
),
paths as (
    select
        [layer || '.' || neuron, to_layer || '.' || to_neuron] as neurons,
        [io_class, to_class] as classes,
        [reads] as reads,
        [cosine] as cosines,
        abs(cosine) as weakest,
        to_layer,
        to_neuron
    from strong
    where $neuron is null or layer || '.' || neuron = $neuron
    union all
    select
        list_append(p.neurons, s.to_layer || '.' || s.to_neuron),
        list_append(p.classes, s.to_class),
        list_append(p.reads, s.reads),
        list_append(p.cosines, s.cosine),
        least(p.weakest, abs(s.cosine)),
        s.to_layer,
        s.to_neuron
    from paths p
    join strong s on s.layer = p.to_layer and s.neuron = p.to_neuron
    where len(p.neurons) < least($length, 4)
)
select $model as model, len(neurons) as length, weakest, neurons, reads, cosines, classes
from paths
where len(neurons) <= $length
order by length desc, weakest desc, neurons, reads
limit $k
