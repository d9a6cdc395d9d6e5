"""`catalog show`: one neuron, read out loud."""

from pathlib import Path

import click

from catalog.api import Catalog
from catalog.cli.messages import note
from catalog.cli.options import model_option, reading_options
from catalog.errors import Option, UsageError


@click.command("show")
@click.argument("neuron")
@model_option
@click.option(
    "--corpus",
    metavar="NAME",
    help="Which corpus its activations are shown on; by default the largest.",
)
@click.option(
    "--canonical",
    is_flag=True,
    help="Flip w_in and w_out of a neuron whose cos(w_gate, w_in) is negative.",
)
@click.option("--all", "shows_all", is_flag=True, help="Every exemplar, of cases near noise too.")
@click.option("--json", "as_json", is_flag=True, help="All that is shown, as JSON.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it as one web page that needs nothing else, to send to somebody.",
)
@reading_options
def command(
    catalog: Catalog,
    neuron: str,
    model: str | None,
    corpus: str | None,
    canonical: bool,
    shows_all: bool,
    as_json: bool,
    page: Path | None,
) -> None:
    """Show one NEURON, layer.neuron or model:layer.neuron: class, cosines, tokens, exemplars.

    \b
    Example:
      catalog show 28.4737 --model olmo-7b-0424
      catalog show 29.1089 --html quotes.html
    """
    record = catalog.neuron(neuron, model, corpus, canonical=canonical)
    if page is not None:
        if as_json:
            raise UsageError("", Option("html"), " and ", Option("json"), " do not go together.")
        from catalog.cli.output import output_stream
        from catalog.reports import report
        from catalog.reports.html import document

        text = document(report(record), f"{record.name} of {record.model.model}")
        with output_stream(page, "html", force=False) as stream:
            stream.write(text.encode(errors="replace"))
        note(f"{page} written")
    elif as_json:
        from catalog.formats.cells import dumped

        click.echo(dumped(record.as_dict(), indent=2))
    else:
        from catalog.cli.paging import print_paged
        from catalog.reports import report
        from catalog.reports.terminal import Page

        print_paged(Page.standard_output(shows_all=shows_all), report(record))
