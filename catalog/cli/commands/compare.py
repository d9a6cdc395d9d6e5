"""`catalog compare`: two neurons side by side."""

from pathlib import Path

import click

from catalog.api import Catalog
from catalog.cli.options import (
    checkpoint_option,
    model_option,
    reading_options,
)
from catalog.cli.output import Output, output_options


@click.command("compare")
@click.argument("first")
@click.argument("second")
@model_option
@click.option("--corpus", metavar="NAME", help="Which corpus their activations are compared on.")
@checkpoint_option
@output_options
@reading_options
def command(
    catalog: Catalog,
    output: Output,
    first: str,
    second: str,
    model: str | None,
    corpus: str | None,
    checkpoint: Path | None,
) -> None:
    """Show two neurons side by side, also of different models: [MODEL:]LAYER.NEURON.

    The last column is what is between them: the difference of numbers, the correlation of samples,
    the contexts and tokens that both have, and, of one model whose checkpoint is on this machine,
    the cosine of each vector of the first with each of the second.

    \b
    Example:
      catalog compare olmo-7b-0424:28.4737 gemma-2-2b:20.11
    """
    output.write(catalog.compare(first, second, model, corpus, checkpoint))
