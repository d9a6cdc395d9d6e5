"""`catalog merge`: several catalogs into a new one."""

from pathlib import Path

import click

from catalog.cli.options import wait_option


@click.command("merge")
@click.argument(
    "sources",
    nargs=-1,
    required=True,
    metavar="CATALOG...",
    type=click.Path(path_type=Path),
)
@click.option(
    "--into",
    "target",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The new catalog file, which must not exist yet.",
)
@wait_option
def command(sources: tuple[Path, ...], target: Path, wait_s: float) -> None:
    """Make one new catalog of several; the CATALOGs are only read.

    An entry that several hold (same alias, checkpoint and weights) becomes one with the stages and
    corpora of all. Where they state different things nothing is written, and every conflict is
    named. What was not finished is left behind.

    \b
    Example:
      catalog merge mine.duckdb yours.duckdb --into ours.duckdb
    """
    from catalog.api import merge
    from catalog.cli.messages import note
    from catalog.store.new_files import megabytes

    combined = merge(sources, target, wait_s)
    for sentence in combined.left_behind:
        note(sentence)
    size = megabytes(combined.n_bytes)
    note(f"{target}: {size}, with {', '.join(combined.aliases) or 'no model yet'}")
