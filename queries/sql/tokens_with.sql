-- Tokens that contain a text, in any case of letters, the shortest first.
select distinct token
from tokens
where contains(lower(token), lower($text)) and ($model is null or model = $model)
order by length(token), token
limit $k
