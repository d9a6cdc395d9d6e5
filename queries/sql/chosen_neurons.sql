-- What a list says of each of some neurons of a model.
with described as (
    select
        layer, neuron,
        first(description order by score desc nulls last, source, source_key) as description
    from descriptions
    where model = $model
    group by all
)
select
    layer, neuron, neuron_id, io_class, atypical, functional_role,
    cos_gate_in, cos_gate_out, cos_in_out, d.description
from neurons
left join described d using (layer, neuron)
where model = $model
    and (layer, neuron) in (select unnest($layers::int[]), unnest($neurons::int[]))
order by layer, neuron
