-- Share of input manipulators, all classes but orthogonal output, and how many of them are conditional enrichment (paper, section 5.1); the row without a layer is the whole model.
-- :model model = null          only this model
-- :threshold fraction = 0.5    a |cosine| beyond it counts
with counted as (
    select
        model,
        layer,
        count(io_class) as neurons,
        count(*) filter (where io_class != 'orthogonal output') as input_manipulators,
        count(*) filter (where io_class = 'conditional enrichment') as conditional_enrichment
    from io_classes($threshold)
    where $model is null or model = $model
    group by grouping sets ((model, layer), (model))
)
select
    model,
    layer,
    neurons,
    input_manipulators,
    round(input_manipulators / neurons, 4) as share,
    bar(input_manipulators / neurons, 0, 1, 20) as bar,
    round(conditional_enrichment / nullif(input_manipulators, 0), 4) as of_them_conditional_enrichment
from counted
order by model, layer nulls first
