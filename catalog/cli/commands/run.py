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
    help="The K neurons of largest |post| at each token (the default, with K = 3).",
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
    device: str,
    dtype: str,
    tokenizer: Path | None,
    checkpoint: Path | None,
) -> None:
    """Run a model on TEXT and show which neurons it drives. Nothing is stored.

    \b
    Example:
      catalog run "Raised when a mapping key is not found." --neuron 0.469
    """
    from catalog.errors import UsageError
    from catalog.queries.own_text import neuron_rows
    from catalog.rows import Rows

    if neuron is not None and top is not None:
        raise UsageError("--neuron and --top do not go together. Leave one out.")
    if neuron is None:
        rows = catalog.top(text, top or 3, model, device, dtype, tokenizer, checkpoint)
        output.write(rows)
        return
    on_text = catalog.run(text, neuron, model, device, dtype, tokenizer, checkpoint)
    if output.is_for_people:
        from catalog.cli.running_text import print_shaded

        print_shaded(neuron, on_text)
    output.write(Rows(neuron_rows(on_text)))
