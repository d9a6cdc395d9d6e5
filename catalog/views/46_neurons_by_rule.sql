-- The neurons with the roles that the rule gives at other parameters; those that are NULL have their
-- defaults. With all of them NULL the stored roles, which were given without it.
create or replace macro neurons_by_rule(
    partition_neurons, moments_neurons, min_kurtosis, kurtosis_above, iqr_factor, attention_cutoff
) as table
select *
from neurons
where coalesce(
    partition_neurons::varchar, moments_neurons::varchar, min_kurtosis::varchar,
    kurtosis_above::varchar, iqr_factor::varchar, attention_cutoff::varchar
) is null
union all
select n.* replace (r.functional_role as functional_role)
from functional_roles(
    coalesce(partition_neurons, role_default('partition')),
    coalesce(moments_neurons, role_default('moments')),
    coalesce(min_kurtosis, role_default('min_kurtosis')),
    kurtosis_above,
    role_default('n_entropy'),
    coalesce(iqr_factor, role_default('iqr_factor')),
    coalesce(attention_cutoff, role_default('attention_cutoff')),
    role_default('layers_ahead')
) r
join neurons n using (model, layer, neuron)
where coalesce(
    partition_neurons::varchar, moments_neurons::varchar, min_kurtosis::varchar,
    kurtosis_above::varchar, iqr_factor::varchar, attention_cutoff::varchar
) is not null;
