"""`catalog find`: the everyday question without SQL."""

import re
from typing import Any

import click

from catalog.api import Catalog
from catalog.cli.options import COUNT, model_option, output_options, reading_options
from catalog.cli.output import Output
from catalog.taxonomy import BASES, FUNCTIONAL_ROLES, IO_CLASSES, ORDERS, SIGNS, VECTORS

_LAYERS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)


def _layers(
    _ctx: click.Context, _option: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    if text is None:
        return None
    match = _LAYERS.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is neither a layer nor a range such as 28-31")
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise click.BadParameter(f"{text} begins after its end")
    return first, last


@click.command("find")
@model_option
@click.option("--class", "io_class", type=click.Choice(IO_CLASSES), help="IO class at 0.5.")
@click.option("--atypical/--typical", default=None, help="Only those; by default both.")
@click.option("--role", type=click.Choice(FUNCTIONAL_ROLES), help="Functional role.")
@click.option("--layer", "layers", callback=_layers, metavar="N|N-M", help="A layer, or a range.")
@click.option("--token", help="Among the neuron's top tokens; with its leading space.")
@click.option("--vector", type=click.Choice(VECTORS), help="Whose top tokens; by default any.")
@click.option("--sign", type=click.Choice(SIGNS), help="Towards or away from; by default either.")
@click.option(
    "--basis",
    type=click.Choice(BASES),
    default="unembed",
    show_default=True,
    help="Top tokens in W_U or in W_E.",
)
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    default="kurtosis",
    show_default=True,
    help="What comes first: the largest; skew and cosines by magnitude.",
)
@click.option(
    "-k",
    "k",
    type=COUNT,
    default=20,
    show_default=True,
    help="How many neurons.",
)
@output_options
@reading_options
def command(
    catalog: Catalog, output: Output, layers: tuple[int, int] | None, **sought: Any
) -> None:
    """Find neurons by class, role, layer and token.

    \b
    Example:
      catalog find --class depletion --layer 28-31 --token " again" --order kurtosis
    """
    first, last = layers or (None, None)
    output.write(catalog.find(first_layer=first, last_layer=last, **sought))
