-- Number and share of neurons of each IO class, by model.
-- :model model = null          only this model
-- :threshold fraction = 0.5    a |cosine| beyond it counts
with counted as (
    select
        model,
        io_class,
        count(*) as neurons,
        count(*) / sum(count(*)) over (partition by model) as share,
        count(*) filter (where atypical) as atypical
    from io_classes($threshold)
    where $model is null or model = $model
    group by model, io_class
)
select model, io_class, neurons, round(share, 4) as share, bar(share, 0, 1, 20) as bar, atypical
from counted
order by model, neurons desc, io_class
