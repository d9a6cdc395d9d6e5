"""`catalog show`: one neuron, read out loud."""

import click

from catalog.api import Catalog
from catalog.cli.options import model_option, reading_options


@click.command("show", context_settings={"ignore_unknown_options": True})
@click.argument("neuron")
@model_option
@click.option("--corpus", metavar="NAME", help="Which corpus its activations are shown on.")
@click.option(
    "--canonical",
    is_flag=True,
    help="Flip w_in and w_out of a neuron whose cos(w_gate, w_in) is negative.",
)
@click.option("--all", "shows_all", is_flag=True, help="Every exemplar, of cases near noise too.")
@click.option("--json", "as_json", is_flag=True, help="All that is shown, as JSON.")
@reading_options
def command(
    catalog: Catalog,
    neuron: str,
    model: str | None,
    corpus: str | None,
    canonical: bool,
    shows_all: bool,
    as_json: bool,
) -> None:
    """Show one NEURON, given as layer.neuron: its class, cosines, top tokens and exemplars.

    \b
    Example:
      catalog show 28.4737 --model olmo-7b-0424
    """
    record = catalog.neuron(neuron, model, corpus, canonical=canonical)
    if as_json:
        from catalog.formats.cells import dumped

        click.echo(dumped(record.as_dict(), indent=2))
    else:
        from catalog.cli.paging import print_paged
        from catalog.reports import report
        from catalog.reports.terminal import Page

        print_paged(Page.standard_output(shows_all=shows_all), report(record))
