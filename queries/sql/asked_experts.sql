-- How often each expert of a layer is asked on a corpus.
select m.expert, any_value(s.routed) as routed
from activation_stats s
join neurons m using (model, layer, neuron)
where s.model = $model and s.corpus = $corpus and s.layer = $layer
    and m.model = $model and m.layer = $layer and m.expert is not null
group by m.expert
order by m.expert
