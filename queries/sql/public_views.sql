-- The public views, with what their rows are.
select view_name as view, comment
from duckdb_views()
where not internal
order by view_name
