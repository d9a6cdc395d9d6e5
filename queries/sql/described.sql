-- Neurons with a description that contains $describes, and the best such description of each.
select
    model, layer, neuron,
    first(description order by score desc nulls last, source, source_key) as description
from descriptions
where contains(lower(description), lower($describes::varchar))
group by all
