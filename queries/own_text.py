"""Rows of what neurons do on a text of the user's own."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from catalog.queries.sql import sql_text
from catalog.store.handle import Handle
from catalog.store.reading import run_query

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.ingest.own_text import NeuronOnText, TopNeuron
    from catalog.ingest.own_text_effects import Attributed, TokenChange


def neuron_rows(on_text: "NeuronOnText") -> "pa.Table":
    """One row per token: gate (if it has one), in and post of the neuron."""
    import pyarrow as pa

    return pa.table(
        {
            "position": list(range(len(on_text.text.tokens))),
            "token": on_text.text.tokens,
            **({} if on_text.gate is None else {"gate": on_text.gate}),
            "in": on_text.x_in,
            "post": on_text.post,
        }
    )


def top_rows(catalog: Handle, model: str, found: "Sequence[TopNeuron]") -> "pa.Table":
    """One row per token and neuron, with the neuron's class and role from the catalog."""
    import pyarrow as pa

    kinds = _kinds(catalog, model, [(each.layer, each.neuron) for each in found])
    return pa.Table.from_pylist(
        [
            {
                "position": each.position,
                "token": each.token,
                "rank": each.rank,
                "neuron_id": f"{each.layer}.{each.neuron}",
                "post": each.post,
                "gate": each.gate,
                "in": each.x_in,
                "io_class": kinds.get((each.layer, each.neuron), {}).get("io_class"),
                "functional_role": kinds.get((each.layer, each.neuron), {}).get("functional_role"),
            }
            for each in found
        ]
    )


def changed_rows(changes: "Sequence[TokenChange]") -> "pa.Table":
    """One row per token: what an ablation does to the prediction after it."""
    import pyarrow as pa

    return pa.Table.from_pylist([asdict(each) for each in changes])


def attributed_rows(catalog: Handle, model: str, found: "Attributed") -> "pa.Table":
    """One row per neuron that matters for a token, with its class and role from the catalog."""
    import pyarrow as pa

    kinds = _kinds(catalog, model, [(each.layer, each.neuron) for each in found.neurons])
    return pa.Table.from_pylist(
        [
            {
                "neuron_id": f"{each.layer}.{each.neuron}",
                "effect": each.effect,
                "magnitude": each.magnitude,
                "io_class": kinds.get((each.layer, each.neuron), {}).get("io_class"),
                "functional_role": kinds.get((each.layer, each.neuron), {}).get("functional_role"),
            }
            for each in found.neurons
        ]
    )


def _kinds(
    catalog: Handle, model: str, neurons: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], dict[str, Any]]:
    """Class and role of neurons, by (layer, neuron)."""
    layers, numbers = zip(*neurons, strict=True)
    parameters = {"model": model, "layers": list(layers), "neurons": list(numbers)}
    with catalog.reading() as connection:
        rows = run_query(connection, sql_text("classes_of"), parameters, catalog.location)
    return {(row["layer"], row["neuron"]): row for row in rows.to_pylist()}
