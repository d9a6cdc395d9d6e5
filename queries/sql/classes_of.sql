-- Class and role of some neurons of a model.
select n.layer, n.neuron, n.io_class, n.functional_role as role
from neurons n
join (select distinct unnest($layers) as layer, unnest($neurons) as neuron) asked
    using (layer, neuron)
where n.model = $model
order by n.layer, n.neuron
