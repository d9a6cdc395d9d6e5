-- The words of DuckDB's SQL, for completion.
select keyword_name as word from duckdb_keywords() order by keyword_name
