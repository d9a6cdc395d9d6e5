-- How far neurons turned between steps of a training series: median cosine of each vector with itself.
-- needs: drift
-- :series series = null        only this series
-- :to_last boolean = false     true: from each step to the last; false: from each to the next
-- :by_layer boolean = true     false: all layers together, layer is NULL
with place as (
    select
        series, model, step,
        lag(step) over (partition by series order by step) as step_before,
        max(step) over (partition by series) as last_step
    from models
    where series is not null and ($series is null or series = $series)
)
select
    m.series,
    o.step as from_step,
    m.step as to_step,
    case when $by_layer then d.layer end as layer,
    count(*) as neurons,
    median(d.cos_gate) as median_cos_gate,
    median(d.cos_in) as median_cos_in,
    median(d.cos_out) as median_cos_out,
    arg_min(d.layer || '.' || d.neuron, (d.cos_out, d.layer, d.neuron)) as most_turned
from drifts d
join place m on m.model = d.model
join place o on o.model = d.other_model
where case when $to_last then m.step = m.last_step else o.step = m.step_before end
group by m.series, o.step, m.step, case when $by_layer then d.layer end
order by m.series, from_step, to_step, layer
