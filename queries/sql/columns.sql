-- The public views and their columns.
select table_name as view, column_name as column
from duckdb_columns()
where table_name in (select view_name from duckdb_views() where not internal)
order by table_name, column_index
