"""`catalog run`: one forward pass on a text of the user's own."""

from pathlib import Path

import click

from catalog.cli.options import COUNT, model_option, output_options, reading_options
from catalog.store.location import Location


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
@click.option(
    "--device", type=click.Choice(("auto", "cpu", "cuda")), default="auto", show_default=True
)
@click.option(
    "--dtype",
    type=click.Choice(("auto", "float32", "bfloat16")),
    default="auto",
    show_default=True,
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder with the tokenizer, where a GGUF file's own cannot be used.",
)
@output_options
@reading_options
def command(
    text: str,
    model: str | None,
    neuron: str | None,
    top: int | None,
    device: str,
    dtype: str,
    tokenizer: Path | None,
    format_name: str | None,
    output: Path | None,
    max_rows: int,
    db: Location,
    wait_s: float,
) -> None:
    """Run a model on TEXT and show which neurons it drives. Nothing is stored.

    \b
    Example:
      catalog run "Raised when a mapping key is not found." --neuron 0.469
    """
    from catalog.cli.formats import write_rows
    from catalog.cli.own_text import neuron_rows, print_shaded, top_rows
    from catalog.errors import UsageError
    from catalog.neuron_id import NeuronId
    from catalog.queries.neuron_record import read_entry

    if neuron is not None and top is not None:
        raise UsageError("--neuron and --top do not go together. Leave one out.")
    neuron_id = None if neuron is None else NeuronId.parse(neuron)
    entry = read_entry(db, model, neuron_id, wait_s)
    if neuron_id is not None:
        from catalog.ingest.own_text import neuron_on_text

        on_text = neuron_on_text(entry, text, neuron_id, device, dtype, tokenizer)
        if format_name in (None, "table") and output is None:
            print_shaded(neuron_id, entry, on_text)
        write_rows(neuron_rows(on_text), format_name, output, max_rows)
    else:
        from catalog.ingest.own_text import top_neurons

        found = top_neurons(entry, text, top or 3, device, dtype, tokenizer)
        write_rows(top_rows(db, entry["model"], found, wait_s), format_name, output, max_rows)
