"""`catalog compare`: two neurons side by side."""

from pathlib import Path

import click

from catalog.cli.options import model_option, output_options, reading_options
from catalog.store.location import Location


@click.command("compare")
@click.argument("first")
@click.argument("second")
@model_option
@output_options
@reading_options
def command(
    first: str,
    second: str,
    model: str | None,
    format_name: str | None,
    output: Path | None,
    max_rows: int,
    db: Location,
    wait_s: float,
) -> None:
    """Show two neurons side by side, also of different models: [MODEL:]LAYER.NEURON.

    \b
    Example:
      catalog compare olmo-7b-0424:28.4737 gemma-2-2b:20.11
    """
    from catalog.cli.formats import write_rows
    from catalog.queries.comparison import compared

    write_rows(compared(db, first, second, model, wait_s), format_name, output, max_rows)
