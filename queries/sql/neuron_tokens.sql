-- The top tokens of one neuron.
select vector, basis, sign, rank, token_id, token, score
from top_tokens
where model = $model and layer = $layer and neuron = $neuron
order by vector, basis desc, sign, rank
