"""`catalog models`: what the catalog holds."""

from pathlib import Path

import click

from catalog.cli.options import output_options, reading_options
from catalog.store.location import Location


@click.command("models")
@output_options
@reading_options
def command(
    format_name: str | None, output: Path | None, max_rows: int, db: Location, wait_s: float
) -> None:
    """List the models in the catalog and the stages that are finished.

    \b
    Example:
      catalog models
    """
    from catalog.cli.formats import write_rows
    from catalog.queries.own import own_sql
    from catalog.store.reading import fetch

    write_rows(fetch(db, own_sql("models"), wait_s=wait_s), format_name, output, max_rows)
