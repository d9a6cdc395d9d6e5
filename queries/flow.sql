-- Class of the neurons at one step of a training series against their class at another.
-- needs: weights
-- :series series = null        only this series
-- :from_step step = null       the earlier step; by default the first
-- :to_step step = null         the later step; by default the last
-- :threshold fraction = 0.5    a |cosine| beyond it counts
-- :k integer = 5               how many neurons to name
with asked as (
    select
        series,
        case
            when $from_step >= $to_step
                then error('from_step=' || $from_step || ' is not before to_step=' || $to_step || '.')
            else coalesce($from_step, min(step))
        end as from_step,
        coalesce($to_step, max(step)) as to_step
    from models
    where series is not null and ($series is null or series = $series)
    group by series
),
ends as (
    select a.*, f.model as from_model, t.model as to_model
    from asked a
    join models f on f.series = a.series and f.step = a.from_step
    join models t on t.series = a.series and t.step = a.to_step
    where a.from_step < a.to_step
),
moved as (
    select
        e.series, e.from_step, e.to_step, f.layer, f.neuron, t.neuron_id,
        f.io_class as from_class,
        t.io_class as to_class
    from ends e
    join io_classes($threshold) f on f.model = e.from_model
    join io_classes($threshold) t
        on t.model = e.to_model and t.layer = f.layer and t.neuron = f.neuron
),
counted as (
    select
        series, from_step, to_step, from_class, to_class,
        count(*) as neurons,
        list(neuron_id order by layer, neuron)[:$k] as named
    from moved
    group by series, from_step, to_step, from_class, to_class
)
select
    series,
    from_step,
    to_step,
    from_class,
    to_class,
    neurons,
    round(neurons / sum(neurons) over (partition by series, from_class), 4) as share_of_from,
    array_to_string(named, ', ') as named
from counted
order by series, from_class nulls last, neurons desc, to_class nulls last
