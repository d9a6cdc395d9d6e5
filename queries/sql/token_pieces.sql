-- Pieces of the vocabularies that are among $tokens, or match the regular expression $pattern.
select distinct token
from tokens
where ($model is null or model = $model)
    and (
        list_contains($tokens::varchar[], case when $ignore_case then lower(token) else token end)
        or regexp_matches(token, $pattern)
    )
order by token
