-- Class counts of an entry beside the published ones (registered as `published`), by layer.
with stored as (
    select layer, io_class, atypical, count(*) as neurons
    from neurons
    where model = $model and io_class is not null
    group by all
),
known as (select * from published where model = $source)
select
    coalesce(s.layer, p.layer) as layer,
    coalesce(s.io_class, p.io_class) as io_class,
    coalesce(s.atypical, p.atypical) as atypical,
    coalesce(s.neurons, 0) as stored,
    coalesce(p.neurons, 0) as published,
    coalesce(s.neurons, 0) - coalesce(p.neurons, 0) as difference
from stored s
full join known p
    on s.layer = p.layer
    and s.io_class = p.io_class
    and s.atypical is not distinct from p.atypical
order by layer, io_class, atypical
