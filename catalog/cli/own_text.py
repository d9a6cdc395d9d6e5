"""What `catalog run` prints: rows, and a text shaded by one neuron."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from catalog.neuron_id import NeuronId
from catalog.queries.own import own_sql
from catalog.store.location import Location
from catalog.store.reading import reading, run_query

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.ingest.own_text import NeuronOnText, TopNeuron


def neuron_rows(on_text: "NeuronOnText") -> "pa.Table":
    """One row per token: gate, in and post of the neuron."""
    import pyarrow as pa

    return pa.table(
        {
            "position": list(range(len(on_text.text.tokens))),
            "token": on_text.text.tokens,
            "gate": on_text.gate,
            "in": on_text.x_in,
            "post": on_text.post,
        }
    )


def top_rows(catalog: Location, model: str, found: "list[TopNeuron]", wait_s: float) -> "pa.Table":
    """One row per token and neuron, with the neuron's class and role from the catalog."""
    import pyarrow as pa

    ids = [(each.layer, each.neuron) for each in found]
    parameters = {
        "model": model,
        "layers": [layer for layer, _ in ids],
        "neurons": [neuron for _, neuron in ids],
    }
    with reading(catalog, wait_s) as connection:
        known = run_query(connection, own_sql("classes_of"), parameters, catalog).to_pylist()
    kinds = {(row["layer"], row["neuron"]): row for row in known}
    rows = []
    for each in found:
        kind = kinds.get((each.layer, each.neuron), {})
        values = asdict(each)
        rows.append(
            {
                "position": values["position"],
                "token": values["token"],
                "rank": values["rank"],
                "neuron_id": f"{each.layer}.{each.neuron}",
                "post": values["post"],
                "gate": values["gate"],
                "in": values["x_in"],
                "io_class": kind.get("io_class"),
                "functional_role": kind.get("functional_role"),
            }
        )
    return pa.Table.from_pylist(rows)


def print_shaded(neuron_id: NeuronId, entry: Mapping[str, Any], on_text: "NeuronOnText") -> None:
    """The text, each token shaded by the neuron's post there."""
    from catalog.cli.report.exemplars import shaded
    from catalog.cli.report.page import Page

    page = Page.standard_output()
    strongest = max(range(len(on_text.post)), key=lambda at: abs(on_text.post[at]))
    page.line(f"{neuron_id} of {entry['model']}; the peak is marked, shades are shares of it")
    page.line(shaded(on_text.text.text, on_text.text.tokens, on_text.post, strongest, page))
    page.line()
