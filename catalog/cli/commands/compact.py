"""`catalog compact`: the catalog rewritten without the space of what was deleted."""

from pathlib import Path

import click

from catalog.cli.options import catalog_options


@click.command("compact")
@catalog_options
def command(db: Path, wait_s: float) -> None:
    """Rewrite the catalog into a smaller file, since a DuckDB file never shrinks by itself.

    The new file is written beside the old one, compared with it and put in its place; that takes
    free space for what the catalog holds. Readers go on meanwhile. Interrupted, nothing changes.

    \b
    Example:
      catalog compact --db catalog.duckdb
    """
    from catalog.cli.messages import note
    from catalog.store.compacting import compact
    from catalog.store.handle import Handle
    from catalog.store.new_files import megabytes

    done = compact(Handle(db, wait_s))
    note(f"{db}: {megabytes(done.before)} before, {megabytes(done.after)} now")
