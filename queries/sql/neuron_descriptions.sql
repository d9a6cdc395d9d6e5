-- What is said of one neuron, the best scored of each source first.
select sign_case, description, explainer, scorer, score, source, source_key, imported_at
from descriptions
where model = $model and layer = $layer and neuron = $neuron
order by source, score desc nulls last, sign_case, source_key
