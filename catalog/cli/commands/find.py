"""`catalog find`: the everyday question without SQL."""

import re
from pathlib import Path

import click

from catalog.cli.options import COUNT, model_option, output_options, reading_options
from catalog.store.location import Location
from catalog.taxonomy import BASES, FUNCTIONAL_ROLES, IO_CLASSES, SIGNS, VECTORS

_ORDERS = ("kurtosis", "variance", "skew", "cos_gate_in", "cos_gate_out", "cos_in_out", "norm")
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
    type=click.Choice(_ORDERS),
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
    model: str | None,
    io_class: str | None,
    atypical: bool | None,
    role: str | None,
    layers: tuple[int, int] | None,
    token: str | None,
    vector: str | None,
    sign: str | None,
    basis: str,
    order: str,
    k: int,
    format_name: str | None,
    output: Path | None,
    max_rows: int,
    db: Location,
    wait_s: float,
) -> None:
    """Find neurons by class, role, layer and token.

    \b
    Example:
      catalog find --class depletion --layer 28-31 --token " again" --order kurtosis
    """
    from catalog.cli.formats import write_rows
    from catalog.queries.own import own_sql
    from catalog.queries.parameters import require_known
    from catalog.store.reading import reading, run_query

    first_layer, last_layer = layers or (None, None)
    parameters = {
        "model": model,
        "io_class": io_class,
        "atypical": atypical,
        "role": role,
        "first_layer": first_layer,
        "last_layer": last_layer,
        "token": token,
        "vector": vector,
        "sign": sign,
        "basis": basis,
        "order": order,
        "k": k,
    }
    with reading(db, wait_s) as connection:
        require_known(connection, [("model", model), ("layer", last_layer)], db)
        rows = run_query(connection, own_sql("find"), parameters, db)
    write_rows(rows, format_name, output, max_rows)
