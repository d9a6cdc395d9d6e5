"""`catalog compact`: the catalog rewritten without the space of what was deleted."""

import click

from catalog.api import Catalog
from catalog.cli.options import catalog_options


@click.command("compact")
@catalog_options
def command(catalog: Catalog) -> None:
    """Rewrite the catalog into a smaller file, since a DuckDB file never shrinks by itself.

    The new file is written beside the old one, compared with it and put in its place; that takes
    free space for what the catalog holds. Readers go on meanwhile. Interrupted, nothing changes.

    \b
    Example:
      catalog compact --db catalog.duckdb
    """
    from catalog.cli.messages import note
    from catalog.store.new_files import megabytes

    done = catalog.compact()
    note(f"{catalog.path}: {megabytes(done.before)} before, {megabytes(done.after)} now")
