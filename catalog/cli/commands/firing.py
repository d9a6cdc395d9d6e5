"""`catalog firing`: the neurons that one token drives."""

from pathlib import Path

import click

from catalog.api import Catalog
from catalog.cli.options import (
    COUNT,
    checkpoint_option,
    device_option,
    model_option,
    reading_options,
)
from catalog.cli.output import Output, output_options


@click.command("firing")
@click.argument("token")
@model_option
@click.option(
    "--corpus", metavar="NAME", help="Whose contexts are read; by default the largest corpus."
)
@click.option("-k", "k", type=COUNT, default=20, show_default=True, help="How many neurons.")
@click.option(
    "--max-tokens",
    type=COUNT,
    default=10_000,
    show_default=True,
    help="Tokens to read: the first contexts that hold TOKEN.",
)
@device_option
@click.option(
    "--dtype",
    type=click.Choice(("auto", "float32", "bfloat16")),
    default="auto",
    show_default=True,
)
@checkpoint_option
@output_options
@reading_options
def command(
    catalog: Catalog,
    output: Output,
    token: str,
    model: str | None,
    corpus: str | None,
    k: int,
    max_tokens: int,
    device: str,
    dtype: str,
    checkpoint: Path | None,
) -> None:
    """Find the neurons that TOKEN drives, by running the model on stored contexts that hold it.

    TOKEN is a piece of the vocabulary, with its leading space. Neurons come by selectivity: mean
    post at the token less the mean elsewhere, in standard deviations of post. Shares of positions
    at which a neuron fires (gate > 0) stand beside it. Nothing is stored.

    \b
    Example:
      catalog firing " return" --corpus demo
    """
    from catalog.queries.firing import COLUMNS

    output.require_columns(COLUMNS)
    output.write(catalog.firing(token, model, corpus, k, max_tokens, device, dtype, checkpoint))
