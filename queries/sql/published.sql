-- Class counts of an entry beside the published ones (registered as `published`), by layer.
with stored as (
    select layer, io_class, atypical, count(*) as neurons
    from neurons
    where model = $model and io_class is not null
    group by all
),
known as (select * from published where model = $source)
select
    layer,
    io_class,
    atypical,
    coalesce(s.neurons, 0) as stored,
    coalesce(p.neurons, 0) as published,
    coalesce(s.neurons, 0) - coalesce(p.neurons, 0) as difference
from stored s
full join known p using (layer, io_class, atypical)
order by layer, io_class, atypical
