"""`catalog find`: the everyday question without SQL."""

from typing import Any

import click

from catalog.api import Catalog
from catalog.cli.options import COUNT, layer_range, model_option, reading_options
from catalog.cli.output import Output, output_options
from catalog.taxonomy import (
    BASIS_CHOICES,
    FUNCTIONAL_ROLES,
    IO_CLASSES,
    ORDERS,
    SIGNS,
    VECTORS,
)
from catalog.token_sets import TOKEN_SETS


@click.command("find")
@model_option
@click.option(
    "--class",
    "io_class",
    type=click.Choice(IO_CLASSES),
    multiple=True,
    help="IO class at 0.5; given several times, any of them.",
)
@click.option("--atypical/--typical", default=None, help="Only those; by default both.")
@click.option(
    "--role",
    type=click.Choice(FUNCTIONAL_ROLES),
    multiple=True,
    help="Functional role; given several times, any of them.",
)
@click.option(
    "--layer", "layers", callback=layer_range, metavar="N|N-M", help="A layer, or a range."
)
@click.option(
    "--token",
    multiple=True,
    help="Among the neuron's top tokens, with its leading space; given several times, any of them.",
)
@click.option("--regex", metavar="RE2", help="Top tokens that this matches, anywhere in them.")
@click.option(
    "--set",
    "token_set",
    type=click.Choice(tuple(TOKEN_SETS)),
    multiple=True,
    help="Top tokens of a named set.",
)
@click.option("--ignore-case", is_flag=True, help="Of tokens, sets and the regular expression.")
@click.option("--vector", type=click.Choice(VECTORS), help="Whose top tokens; by default any.")
@click.option("--sign", type=click.Choice(SIGNS), help="Towards or away from; by default either.")
@click.option(
    "--basis",
    type=click.Choice(BASIS_CHOICES),
    default="unembed",
    show_default=True,
    help="Top tokens in W_U or in W_E, or both.",
)
@click.option("--describes", metavar="TEXT", help="In any of its descriptions; case is ignored.")
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    help="What comes first: the largest, skew and cosines by magnitude. By default kurtosis; with "
    "tokens, the most of them, then the best rank.",
)
@click.option(
    "-k",
    "k",
    type=COUNT,
    default=20,
    show_default=True,
    help="How many rows.",
)
@output_options
@reading_options
def command(
    catalog: Catalog, output: Output, layers: tuple[int, int] | None, **sought: Any
) -> None:
    """Find neurons by class, role, layer and token.

    With tokens there is a row for each list of a neuron that has any of them: which vector, basis
    and end it is, the best rank among them with its score, and the tokens.

    \b
    Example:
      catalog find --class depletion --layer 28-31 --token " again" --token " also"
      catalog find --set months --vector out --sign +
    """
    first, last = layers or (None, None)
    output.write(catalog.find(first_layer=first, last_layer=last, **sought))
