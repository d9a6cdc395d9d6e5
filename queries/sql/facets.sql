-- How many neurons of a model have each class, role and layer, among those that the other two allow.
with chosen as (
    select
        layer,
        io_class,
        functional_role,
        len($io_classes::varchar[]) = 0 or list_contains($io_classes, io_class) as in_class,
        len($roles::varchar[]) = 0 or list_contains($roles, functional_role) as in_role,
        not len($layers::integer[]) > 0 or list_contains($layers, layer) as in_layers
    from neurons
    where model = $model and ($atypical is null or atypical = $atypical)
        and (
            not $is_listed
            or (model, layer, neuron) in (
                select unnest($in_models::varchar[]), unnest($in_layers::integer[]), unnest($in_neurons::integer[])
            )
        )
),
counted as (
    select 'io_class' as facet, io_class as value, null as layer, count(*) as neurons
    from chosen
    where in_role and in_layers
    group by io_class
    union all
    select 'role', functional_role, null, count(*)
    from chosen
    where in_class and in_layers
    group by functional_role
    union all
    select 'layer', null, layer, count(*)
    from chosen
    where in_class and in_role
    group by layer
)
select facet, coalesce(value, layer::varchar) as value, neurons
from counted
where coalesce(value, layer::varchar) is not null
order by facet, layer, neurons desc, value
