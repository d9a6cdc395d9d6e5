"""`catalog export`: models of the catalog for others, and other programs."""

from pathlib import Path

import click

from catalog.cli.options import LOCATION, reading_options
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
@reading_options
def command(
    target: Location,
    models: tuple[str, ...],
    format_name: str,
    force: bool,
    db: Location,
    wait_s: float,
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
    from catalog.errors import UsageError
    from catalog.store.handle import Handle
    from catalog.store.lake.source import SourceRows

    if format_name != "duckdb" and isinstance(target, Path) and target.is_file():
        raise UsageError(
            f"{target} is a file, and --format {format_name} makes a folder. Name a folder, or use "
            "--format duckdb with a new file."
        )
    if format_name == "duckdb":
        _copy(db, target, models, wait_s, force=force)
        note(f"{target} written")
    elif format_name == "parquet":
        from catalog.store.lake.exporting import export_lake

        export_lake(SourceRows(Handle(db, wait_s)), target, models, force=force, say=note)
    else:
        from catalog.store.lake.text import export_text

        source = SourceRows(Handle(db, wait_s))
        export_text(source, target, format_name, models, force=force, say=note)


def _copy(
    db: Location, target: Location, models: tuple[str, ...], wait_s: float, *, force: bool
) -> None:
    from catalog.errors import UsageError
    from catalog.store.combining import copy_entries
    from catalog.store.handle import Handle
    from catalog.store.lake.source import SourceRows
    from catalog.store.reading import require_file

    if not isinstance(target, Path):
        raise UsageError(f"A catalog file is written on this machine's disk, not to {target}.")
    if force:
        raise UsageError("--format duckdb writes a new file only, so --force does not go with it.")
    source = Handle(require_file(db), wait_s)
    copy_entries(source, target, SourceRows(source).chosen(models))
