"""`catalog run`: one forward pass on a text of the user's own."""

from pathlib import Path

import click

from catalog.api import Catalog
from catalog.cli.options import (
    COUNT,
    checkpoint_option,
    device_option,
    model_option,
    output_options,
    reading_options,
)
from catalog.cli.output import Output


@click.command("run")
@click.argument("text")
@model_option
@click.option("--neuron", help="Show this neuron, given as layer.neuron, at every token.")
@click.option(
    "--top",
    type=COUNT,
    metavar="K",
    help="The K neurons of largest |post| at each token (the default, with K = 3); of --attribute "
    "the K that matter most (10).",
)
@click.option(
    "--ablate",
    metavar="ID,...",
    help="Show what the predictions after each token become without these neurons.",
)
@click.option(
    "--attribute",
    metavar="NEXT",
    help="Show the neurons that matter most for the token with which NEXT begins, after TEXT.",
)
@device_option
@click.option(
    "--dtype",
    type=click.Choice(("auto", "float32", "bfloat16")),
    default="auto",
    show_default=True,
)
@click.option(
    "--tokenizer",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder with the tokenizer, where that of a GGUF file cannot be used.",
)
@checkpoint_option
@output_options
@reading_options
def command(
    catalog: Catalog,
    output: Output,
    text: str,
    model: str | None,
    neuron: str | None,
    top: int | None,
    ablate: str | None,
    attribute: str | None,
    device: str,
    dtype: str,
    tokenizer: Path | None,
    checkpoint: Path | None,
) -> None:
    """Run a model on TEXT and show which neurons it drives. Nothing is stored.

    \b
    Example:
      catalog run "Raised when a mapping key is not found." --neuron 0.469
      catalog run "Raised when a mapping key is not" --ablate 0.469,3.17
      catalog run "Raised when a mapping key is not" --attribute " found"
    """
    from catalog.errors import UsageError
    from catalog.queries.own_text import neuron_rows
    from catalog.rows import Rows

    modes = {"--neuron": neuron, "--ablate": ablate, "--attribute": attribute}
    given = [name for name, value in modes.items() if value is not None]
    if top is not None and attribute is None:
        given.append("--top")
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} do not go together. Leave one out.")
    how = (model, device, dtype, tokenizer, checkpoint)
    if ablate is not None:
        neurons = [each.strip() for each in ablate.split(",") if each.strip()]
        output.write(catalog.run_ablated(text, neurons, *how))
        return
    if attribute is not None:
        output.write(catalog.run_attributed(text, attribute, top or 10, *how))
        return
    if neuron is None:
        output.write(catalog.top(text, top or 3, *how))
        return
    on_text = catalog.run(text, neuron, *how)
    if output.is_for_people:
        from catalog.cli.running_text import print_shaded

        print_shaded(neuron, on_text)
    output.write(Rows(neuron_rows(on_text)))
