"""`catalog export`: models of the catalog for others, and other programs."""

import click

from catalog.api import Catalog
from catalog.cli.options import LOCATION, source_options
from catalog.store.location import Location


@click.command("export")
@click.argument("target", type=LOCATION)
@click.option("--model", "models", multiple=True, metavar="ALIAS", help="A model; without, all.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(("parquet", "csv", "jsonl", "duckdb")),
    default="parquet",
    show_default=True,
    help="A lake of Parquet files, one text file per view, or a catalog file.",
)
@click.option("--force", is_flag=True, help="Write what is there already anew.")
@source_options
def command(
    catalog: Catalog, target: Location, models: tuple[str, ...], format_name: str, force: bool
) -> None:
    """Export models to TARGET: a folder, or a URL such as s3://bucket/lake.

    By default TARGET becomes a lake of Parquet files, TARGET/VIEW/model=ALIAS/, which DuckDB,
    Polars, Spark and Trino query in place, and every command that asks (sql, query, show, find,
    compare, plot, models) with --db TARGET. More models can be added to it. A URL needs its fsspec
    package, such as s3fs. With --format csv or jsonl, TARGET gets one file per view; with --format
    duckdb, TARGET is a new catalog file with these models alone.

    \b
    Example:
      catalog export lake --model demo
      catalog sql "from models" --db lake
    """
    from catalog.cli.messages import note

    catalog.export(target, models, format_name, force=force, say=note)
