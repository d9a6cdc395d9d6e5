"""`catalog find`: the everyday question without SQL."""

from typing import Any, TextIO

import click

from catalog.api import Catalog
from catalog.cli.messages import note
from catalog.cli.options import COUNT, layers, model_option, reading_options
from catalog.cli.output import Output, output_options
from catalog.neuron_id import LONGEST_LIST, listed_neurons
from catalog.sought import CHOICES


@click.command("find")
@model_option
@click.option(
    "--class",
    "io_class",
    type=click.Choice(CHOICES["io_class"]),
    multiple=True,
    help="IO class at 0.5; given several times, any of them.",
)
@click.option("--atypical/--typical", default=None, help="Only those; by default both.")
@click.option(
    "--role",
    type=click.Choice(CHOICES["role"]),
    multiple=True,
    help="Functional role; given several times, any of them.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    callback=layers,
    metavar="N|N-M",
    help="A layer, or a range; given several times, any of them.",
)
@click.option(
    "--in",
    "list_file",
    type=click.File(encoding="utf-8-sig", errors="replace"),
    help="Only neurons of this list: one a line, 28.4737 or model:28.4737.",
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
    type=click.Choice(CHOICES["token_set"]),
    multiple=True,
    help="Top tokens of a named set.",
)
@click.option("--ignore-case", is_flag=True, help="Of tokens, sets and the regular expression.")
@click.option(
    "--vector", type=click.Choice(CHOICES["vector"]), help="Whose top tokens; by default any."
)
@click.option(
    "--sign", type=click.Choice(CHOICES["sign"]), help="Towards or away from; by default either."
)
@click.option(
    "--basis",
    type=click.Choice(CHOICES["basis"]),
    default="unembed",
    show_default=True,
    help="Top tokens in W_U or in W_E, or both.",
)
@click.option("--describes", metavar="TEXT", help="In any of its descriptions; case is ignored.")
@click.option(
    "--order",
    type=click.Choice(CHOICES["order"]),
    help="What comes first: the largest, skew and cosines by magnitude, names from the end of the "
    "alphabet. frequency is that of firing, effect and magnitude are of the attribution, each on a "
    "corpus. By default kurtosis; with tokens, the most of them, then the best rank.",
)
@click.option("--smallest", is_flag=True, help="The smallest first, names in alphabetical order.")
@click.option("--corpus", help="Of an order that needs one; by default the largest.")
@click.option(
    "-k",
    "k",
    type=COUNT,
    help="How many rows.  [default: 20, or all of a list]",
)
@output_options
@reading_options
def command(
    catalog: Catalog, output: Output, list_file: TextIO | None, k: int | None, **sought: Any
) -> None:
    """Find neurons by class, role, layer and token.

    With tokens there is a row for each list of a neuron that has any of them: which vector, basis
    and end it is, the best rank among them with its score, and the tokens.

    \b
    Example:
      catalog find --class depletion --layer 28-31 --token " again" --token " also"
      catalog find --set months --vector out --sign +
      catalog find --in bookmarks.ids --order cos_in_out
    """
    listed = None if list_file is None else listed_neurons(list_file.read(LONGEST_LIST + 1))
    found = catalog.find(neurons=listed, k=k or max(20, len(listed or ())), **sought)
    output.write(found)
    if found.total is not None and found.total > len(found):
        note(f"There are {found.total:,} such rows; -k N shows more than {len(found):,} of them.")
