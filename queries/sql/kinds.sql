-- How many neurons of a model there are of each layer, class, typicality and role.
select layer, io_class, atypical, functional_role as role, count(*) as neurons
from neurons
where model = $model
    and (
        not $is_listed
        or (model, layer, neuron) in (
            select unnest($in_models::varchar[]), unnest($in_layers::integer[]), unnest($in_neurons::integer[])
        )
    )
group by all
order by all
