"""Two neurons side by side: what `catalog compare` shows."""

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from catalog.neuron_id import NeuronId
from catalog.queries.neuron_record import read_neuron
from catalog.queries.records import Neuron, NeuronRecord
from catalog.store.handle import Handle
from catalog.taxonomy import BASES, SIGNS, VECTORS, Basis, Sign, Vector

if TYPE_CHECKING:
    import pyarrow as pa

_NAMES: Final = ("model", "layer", "neuron", "neuron_id", "flipped")
"""Of a neuron's columns, those that are no attribute of it; all others are compared."""

_FIRST: Final = ("io_class", "atypical", "functional_role")


def compared(catalog: Handle, first: str, second: str, model: str | None) -> "pa.Table":
    """One row per attribute: its name, then its value for either neuron, and tokens they share.

    What neither has, because neither has such a vector, has no row.

    A neuron is written `layer.neuron`, or `alias:layer.neuron`; `model` is the alias of those
    without one.

    Raises:
        UsageError, NotFoundError: as `catalog.queries.neuron_record.read_neuron`.
    """
    import pyarrow as pa

    left, right = (_read(catalog, text, model) for text in (first, second))
    rows: list[tuple[str | None, ...]] = [("model", left.model.model, right.model.model, None)]
    vectors = [v for v in VECTORS if v in (*left.model.vectors, *right.model.vectors)]
    absent = set(VECTORS) - set(vectors)
    attributes = [
        each.name
        for each in fields(Neuron)
        if each.name not in (*_NAMES, *_FIRST) and absent.isdisjoint(each.name.split("_"))
    ]
    for name in (*_FIRST, *attributes):
        values = (getattr(record.neuron, name) for record in (left, right))
        rows.append((name, *map(_shown, values), None))
    for vector in vectors:
        for basis in BASES:
            for sign in SIGNS:
                ours, theirs = (_tokens(r, vector, basis, sign) for r in (left, right))
                shared = [token for token in ours if token in theirs]
                lists = [" ".join(map(repr, tokens)) for tokens in (ours, theirs)]
                rows.append(
                    (f"w_{vector} {basis} {sign}", *lists, " ".join(map(repr, shared)) or None)
                )
    names = ["attribute", f"{left.model.model}:{left.id}", f"{right.model.model}:{right.id}"]
    if names[1] == names[2]:
        names[2] += " again"
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return pa.table(columns, [*names, "shared"])


def _read(catalog: Handle, text: str, model: str | None) -> NeuronRecord:
    alias, colon, neuron = text.rpartition(":")
    return read_neuron(catalog, NeuronId.parse(neuron), alias if colon else model)


def _tokens(record: NeuronRecord, vector: Vector, basis: Basis, sign: Sign) -> list[str]:
    return [
        each.token
        for each in record.tokens
        if (each.vector, each.basis, each.sign) == (vector, basis, sign)
    ]


def _shown(value: object) -> str | None:
    if value is None:
        return None
    return f"{value:.4g}" if isinstance(value, float) else str(value)
