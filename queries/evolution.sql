-- Share of each IO class at every step of a training series, by layer or over all layers.
-- needs: weights
-- :series series = null        only this series
-- :by_layer boolean = true     false: all layers together, layer is NULL
-- :threshold fraction = 0.5    a |cosine| beyond it counts
with counted as (
    select
        m.series,
        m.step,
        m.train_tokens,
        case when $by_layer then c.layer end as layer,
        c.io_class,
        count(*) as neurons,
        count(*) filter (where c.atypical) as atypical
    from io_classes($threshold) c
    join models m using (model)
    where m.series is not null and ($series is null or m.series = $series)
    group by all
)
select
    series,
    step,
    train_tokens,
    layer,
    io_class,
    neurons,
    round(neurons / sum(neurons) over (partition by series, step, layer), 4) as share,
    atypical
from counted
order by series, step, layer, neurons desc, io_class
