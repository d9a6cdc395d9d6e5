-- How many neurons of a model have each class, role and layer, among those that the other two allow.
with kinds as (
    select layer, io_class, functional_role, count(*) as neurons
    from neurons
    where model = $model and ($atypical is null or atypical = $atypical)
        and (
            not $is_listed
            or (model, layer, neuron) in (
                select unnest($in_models::varchar[]), unnest($in_layers::integer[]), unnest($in_neurons::integer[])
            )
        )
    group by layer, io_class, functional_role
),
chosen as (
    select
        *,
        len($io_classes::varchar[]) = 0 or list_contains($io_classes, io_class) as in_class,
        len($roles::varchar[]) = 0 or list_contains($roles, functional_role) as in_role,
        not len($layers::integer[]) > 0 or list_contains($layers, layer) as in_layers
    from kinds
),
counted as (
    select 'io_class' as facet, io_class as value, null as layer, sum(neurons)::bigint as neurons
    from chosen
    where in_role and in_layers
    group by io_class
    union all
    select 'role', functional_role, null, sum(neurons)::bigint
    from chosen
    where in_class and in_layers
    group by functional_role
    union all
    select 'layer', null, layer, sum(neurons)::bigint
    from chosen
    where in_class and in_role
    group by layer
)
select facet, coalesce(value, layer::varchar) as value, neurons
from counted
where coalesce(value, layer::varchar) is not null
order by facet, layer, neurons desc, value
