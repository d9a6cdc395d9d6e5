-- What the router row of one expert points at.
select basis, sign, rank, token_id, token, score
from router_tokens
where model = $model and layer = $layer and expert = $expert
order by basis desc, sign, rank
