-- Columns of a public view, with what they mean.
select column_name as column, lower(data_type) as type, comment
from duckdb_columns()
where table_name = $view
    and table_name in (select view_name from duckdb_views() where not internal)
order by column_index
