-- Median cos(w_in, w_out) by layer and model, with the layer's relative depth (paper, figure 1).
-- :model model = null    only this model
select
    model,
    layer,
    round(layer / greatest(max(layer) over (partition by model), 1), 3) as depth,
    median(cos_in_out) as median_cos_in_out,
    count(cos_in_out) as neurons
from neurons
where $model is null or model = $model
group by model, layer
order by model, layer
