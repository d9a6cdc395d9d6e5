"""`catalog run`: one forward pass on texts of the user's own."""

import sys
from pathlib import Path

import click

from catalog.api import Catalog
from catalog.cli.options import (
    COUNT,
    checkpoint_option,
    device_option,
    layer_range,
    model_option,
    reading_options,
)
from catalog.cli.output import Output, output_options
from catalog.taxonomy import TEXT_ORDERS


@click.command("run")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, allow_dash=True, dir_okay=False, path_type=Path),
    help="Read a text from this file, or - for standard input; may be given several times.",
)
@model_option
@click.option(
    "--neuron",
    "neurons",
    multiple=True,
    metavar="ID",
    help="Show this neuron, given as layer.neuron, at every token; may be given several times.",
)
@click.option(
    "--top",
    type=COUNT,
    metavar="K",
    help="The K neurons that stand out most at each token (the default, with K = 3); of "
    "--attribute the K that matter most (10).",
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
@click.option(
    "--by",
    type=click.Choice(TEXT_ORDERS),
    help="What ranks them: |post|, that times |w_out|, or |post| over the neuron's mean |post| on "
    "a corpus; by default the last, without a corpus the second.",
)
@click.option(
    "--layer", "layers", callback=layer_range, metavar="N|N-M", help="Neurons of these layers only."
)
@click.option(
    "--corpus", metavar="NAME", help="The corpus that says what is unusual; by default the largest."
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
    texts: tuple[str, ...],
    files: tuple[Path, ...],
    model: str | None,
    device: str,
    dtype: str,
    tokenizer: Path | None,
    checkpoint: Path | None,
    neurons: tuple[str, ...],
    top: int | None,
    ablate: str | None,
    attribute: str | None,
    by: str | None,
    layers: tuple[int, int] | None,
    corpus: str | None,
) -> None:
    """Run a model on each TEXT and show which neurons it drives. Nothing is stored.

    Without a TEXT, a prompt asks for texts on a terminal, with the model loaded once.

    \b
    Example:
      catalog run "read(self, size) returns bytes." --neuron 3.161
      catalog run "Raised when a mapping key is not" --ablate 3.161,2.200
      catalog run "Raised when a mapping key is not" --attribute " found"
    """
    from catalog.cli.running_text import Asked, answer, prompt
    from catalog.errors import UsageError

    ranking = {"--by": by, "--layer": layers, "--corpus": corpus}
    modes = {"--neuron": neurons or None, "--ablate": ablate, "--attribute": attribute}
    named = [name for name, value in modes.items() if value is not None]
    named += [name for name, value in ranking.items() if named and value is not None]
    if top is not None and named and attribute is None:
        named.append("--top")
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} do not go together. Leave one out.")
    asked = Asked(neurons, top, by, layers or (None, None), corpus, ablate, attribute)
    given = [*texts, *map(_read, files)]
    if not given and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError('There is no text. Give one: catalog run "some words", or --file -.')
    reader = catalog.texts(model, device, dtype, tokenizer, checkpoint)
    if given:
        answer(reader, given, asked, output)
    else:
        prompt(reader, asked, output)


def _read(file: Path) -> str:
    """A text from a file, or from standard input for `-`; bytes that are no UTF-8 stay marked."""
    if str(file) == "-":
        return sys.stdin.buffer.read().decode(errors="surrogateescape")
    return file.read_text(encoding="utf-8", errors="surrogateescape")
