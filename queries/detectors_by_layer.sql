-- How many neurons of each layer never fire (gate > 0; without a gate, in > 0), fire too rarely to tell, and are detectors of one token or of up to five.
-- needs: detectors
-- :model model = null      only this model
-- :corpus corpus = null    only this corpus
select
    model,
    corpus,
    layer,
    count(*) as neurons,
    count(*) filter (dead) as dead,
    count(*) filter (n_fired between 1 and 19) as below_20_firings,
    count(*) filter (n_cover_95 = 1) as of_one_token,
    count(*) filter (n_cover_95 > 1) as of_2_to_5_tokens
from detectors
where ($model is null or model = $model)
    and ($corpus is null or corpus = $corpus)
group by model, corpus, layer
order by model, corpus, layer
