-- Pieces like one that no vocabulary has: the same but for case and blanks first, then by spelling.
select token
from (
    select distinct token, lower(trim(token)) as bare, lower(trim($token)) as sought
    from tokens
    where $model is null or model = $model
)
order by bare = sought desc, jaro_winkler_similarity(bare, sought) desc, length(token), token
limit $k
