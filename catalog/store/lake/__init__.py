"""A lake: the public views as Parquet files by model, in a folder or at an fsspec URL.

    <lake>/<view>/model=<alias>/part-00000.parquet
    <lake>/lake.json

DuckDB, Polars, Spark and Trino read it in place: `model` is the hive partition and stands in the
path alone, as Hive wants it. The manifest `lake.json` says which models are there, whole.
"""
