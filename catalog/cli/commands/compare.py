"""`catalog compare`: two neurons side by side."""

import click

from catalog.api import Catalog
from catalog.cli.options import model_option, output_options, reading_options
from catalog.cli.output import Output


@click.command("compare")
@click.argument("first")
@click.argument("second")
@model_option
@output_options
@reading_options
def command(catalog: Catalog, output: Output, first: str, second: str, model: str | None) -> None:
    """Show two neurons side by side, also of different models: [MODEL:]LAYER.NEURON.

    \b
    Example:
      catalog compare olmo-7b-0424:28.4737 gemma-2-2b:20.11
    """
    output.write(catalog.compare(first, second, model))
