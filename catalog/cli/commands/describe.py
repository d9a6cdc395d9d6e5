"""`catalog describe`: what a person says of a neuron, into the catalog."""

import click

from catalog.api import Catalog
from catalog.cli.options import catalog_options, model_option
from catalog.ingest.descriptions.description import ANY, DESCRIBED_CASES


@click.command("describe")
@click.argument("neuron")
@click.argument("text")
@model_option
@click.option(
    "--case",
    "sign_case",
    type=click.Choice(DESCRIBED_CASES),
    default=ANY,
    show_default=True,
    help="What it is about: a sign case, positions of one sign of post, or the neuron.",
)
@click.option("--author", metavar="NAME", help="Who says so.")
@catalog_options
def command(
    catalog: Catalog,
    neuron: str,
    text: str,
    model: str | None,
    sign_case: str,
    author: str | None,
) -> None:
    """Keep TEXT as a description of one NEURON, given as layer.neuron.

    `show` and `find --describes` then have it. The columns of a view are described by
    `catalog sql "describe neurons"`.

    \b
    Example:
      catalog describe 28.4737 "writes again after a repeated clause" --author me
    """
    from catalog.cli.messages import note

    is_new = catalog.describe_neuron(neuron, text, model, sign_case, author)
    note(f"{neuron}: {'described' if is_new else 'this description is there already'}")
