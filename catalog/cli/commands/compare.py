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
@click.option(
    "--corpus",
    metavar="NAME",
    help="Which corpus their activations are compared on; by default the largest.",
)
@click.option(
    "--all",
    "shows_all",
    is_flag=True,
    help="In a table too, cosines of unlike vectors within chance, and all tokens of the lists.",
)
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
    shows_all: bool,
) -> None:
    """Show two neurons side by side, also of different models: [MODEL:]LAYER.NEURON.

    A sentence says what is the same and what differs (docs/definitions.md, "Comparison"). The last
    column is what is between them: the difference of numbers, the correlation of samples, the
    contexts and tokens that both have, and, of one model whose checkpoint is on this machine, the
    cosine of each vector of the first with each of the second.

    \b
    Example:
      catalog compare olmo-7b-0424:28.4737 gemma-2-2b:20.11
    """
    brief = output.is_for_people and not shows_all
    output.write(catalog.compare(first, second, model, corpus, checkpoint, brief=brief))
