"""`catalog show`: one neuron, read out loud."""

import click

from catalog.cli.options import model_option, reading_options
from catalog.store.location import Location


@click.command("show", context_settings={"ignore_unknown_options": True})
@click.argument("neuron")
@model_option
@click.option("--corpus", metavar="NAME", help="Which corpus its activations are shown on.")
@click.option(
    "--canonical",
    is_flag=True,
    help="Flip w_in and w_out of a neuron whose cos(w_gate, w_in) is negative.",
)
@click.option("--json", "as_json", is_flag=True, help="All that is shown, as JSON.")
@reading_options
def command(
    neuron: str,
    model: str | None,
    corpus: str | None,
    canonical: bool,
    as_json: bool,
    db: Location,
    wait_s: float,
) -> None:
    """Show one NEURON, given as layer.neuron: its class, cosines, top tokens and exemplars.

    \b
    Example:
      catalog show 28.4737 --model olmo-7b-0424
    """
    from catalog.neuron_id import NeuronId
    from catalog.queries.neuron_record import read_neuron

    record = read_neuron(db, NeuronId.parse(neuron), model, corpus, wait_s)
    if canonical:
        from catalog.queries.canonical import canonical_reading

        record = canonical_reading(record)
    if as_json:
        from catalog.cli.formats import json_text

        click.echo(json_text(record.as_dict()))
    else:
        from catalog.cli.report import print_report

        print_report(record)
