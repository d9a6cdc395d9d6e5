-- Which neurons of a list there are; one without a model is looked for in all, or in $model.
with listed as (
    select
        unnest($models::varchar[]) as model,
        unnest($layers::integer[]) as layer,
        unnest($neurons::integer[]) as neuron
)
select n.model, n.layer, n.neuron, l.model as named
from neurons n
join listed l on l.layer = n.layer and l.neuron = n.neuron and coalesce(l.model, $model, n.model) = n.model
order by n.model, n.layer, n.neuron, named
