-- The quantity of a corpus that $order names, on the corpus of each model in $measured_on; no rows for other orders.
-- Of the sign cases in which a neuron fires there are two, whose sum has no order.
select model, layer, neuron, sum(frequency) as value
from activation_stats
where $order = 'frequency'
    and sign_case in ('gate+_in+', 'gate+_in-', 'in+')
    and ($model is null or model = $model)
    and (model, corpus) in (
        select unnest($measured_of::varchar[]), unnest($measured_on::varchar[])
    )
group by model, layer, neuron
union all
select model, layer, neuron, if($order = 'effect', effect, magnitude)
from attributions
where $order in ('effect', 'magnitude')
    and ($model is null or model = $model)
    and (model, corpus) in (
        select unnest($measured_of::varchar[]), unnest($measured_on::varchar[])
    )
