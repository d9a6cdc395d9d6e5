"""The neurons to be ablated: a class, a role, ids, or a condition in SQL over `neurons`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb
import numpy as np
from jaxtyping import Bool, Int32
from numpy import ndarray

from catalog.errors import Command, NotFoundError, UsageError
from catalog.neuron_id import NamedNeuron, NeuronId
from catalog.queries.conditions import ids_where, neuron_condition
from catalog.queries.records import Entry
from catalog.store.location import Location
from catalog.store.reading import run_query
from catalog.taxonomy import FUNCTIONAL_ROLES, IO_CLASSES

NeuronsByLayer = Mapping[int, Int32[ndarray, " n"]]
"""Neurons of each layer that has some, ascending."""


@dataclass(frozen=True)
class SubsetSpec:
    """A subset as it is asked for: one of the four, and of it maybe typical neurons alone."""

    io_class: str | None = None
    role: str | None = None
    neurons: tuple[str, ...] = ()
    where: str | None = None
    typical: bool = False

    @property
    def text(self) -> str:
        """The subset in words."""
        if self.io_class is not None:
            said = self.io_class
        elif self.role is not None:
            said = f"role {self.role}"
        elif self.where is not None:
            said = f"where {self.where.strip()}"
        else:
            ids = sorted({NeuronId.parse(each) for each in self.neurons})
            said = ", ".join(map(str, ids))
        return said + (", typical" if self.typical else "")


@dataclass(frozen=True)
class Subset:
    """Neurons of one entry."""

    text: str
    neurons: NeuronsByLayer

    @property
    def n_neurons(self) -> int:
        return sum(len(each) for each in self.neurons.values())


@dataclass(frozen=True)
class EntryNeurons:
    """All neurons of an entry, in (layer, neuron) order."""

    entry: Entry
    layer: Int32[ndarray, " n"]
    neuron: Int32[ndarray, " n"]
    flipped: Bool[ndarray, " n"]

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """Layers that have neurons."""
        return tuple(np.unique(self.layer).tolist())

    def flips(self, layer: int) -> Bool[ndarray, " d_mlp"]:
        """Which neurons of a layer have cos(w_gate, w_in) < 0, by neuron."""
        own: Bool[ndarray, " d_mlp"] = self.flipped[self.layer == layer]
        return own


def all_neurons(
    connection: duckdb.DuckDBPyConnection, entry: Entry, catalog: Location
) -> EntryNeurons:
    """The neurons of an entry.

    Raises:
        NotFoundError: its weights stage is not finished.
    """
    rows = run_query(
        connection,
        "select layer, neuron, coalesce(flipped, false) as flipped from neurons "
        "where model = $model order by layer, neuron",
        {"model": entry.model},
        catalog,
    )
    if rows.num_rows == 0:
        raise NotFoundError(
            f"{entry.model} has no neurons in the catalog yet: its weights stage is not finished.",
            "Run: ",
            Command("ingest", (entry.source,)),
        )
    layer, neuron, flipped = (column.to_numpy() for column in rows.columns)
    return EntryNeurons(
        entry, layer.astype(np.int32), neuron.astype(np.int32), flipped.astype(bool)
    )


def resolved(
    connection: duckdb.DuckDBPyConnection, spec: SubsetSpec, there: EntryNeurons, catalog: Location
) -> Subset:
    """The neurons that a spec names.

    Raises:
        UsageError: not exactly one way to name them; none of them, or all; an unknown class.
        NotFoundError: a neuron that the entry does not have.
        SqlError: `where` is no condition on neurons.
    """
    _require_one(spec)
    condition, bound = _condition(connection, spec, there.entry)
    if spec.typical:
        condition = f"({condition}\n) and not atypical"
    found = ids_where(connection, there.entry.model, condition, catalog, **bound)
    if not found:
        raise UsageError(f"No neuron of {there.entry.model} is in the subset {spec.text!r}.")
    if len(found) == len(there.layer):
        raise UsageError(
            f"The subset {spec.text!r} is the whole of {there.entry.model}: no neuron is left to "
            "compare with."
        )
    by_layer: dict[int, list[int]] = {}
    for each in found:
        by_layer.setdefault(each.layer, []).append(each.neuron)
    return Subset(spec.text, {layer: np.array(ns, np.int32) for layer, ns in by_layer.items()})


def _require_one(spec: SubsetSpec) -> None:
    given = [spec.io_class, spec.role, spec.neurons or None, spec.where]
    named = sum(each is not None for each in given)
    if named == 0:
        raise UsageError("No neuron is named. Write ids as layer.neuron, for example 28.4737.")
    if named > 1:
        raise UsageError(
            "A subset is named in one way: by a class, a role, neurons, or a condition in SQL."
        )
    for what, name, known in (
        ("class", spec.io_class, IO_CLASSES),
        ("role", spec.role, FUNCTIONAL_ROLES),
    ):
        if name is not None and name not in known:
            raise UsageError(f"There is no {what} {name!r}. There is: {', '.join(known)}.")


def _condition(
    connection: duckdb.DuckDBPyConnection, spec: SubsetSpec, entry: Entry
) -> tuple[str, dict[str, object]]:
    """A condition in SQL, and the values of its parameters."""
    if spec.io_class is not None:
        return "io_class = $io_class", {"io_class": spec.io_class}
    if spec.role is not None:
        return "functional_role = $role", {"role": spec.role}
    if spec.where is not None:
        return neuron_condition(connection, spec.where), {}
    ids = _own_ids(spec.neurons, entry)
    return (
        "(layer, neuron) in (select unnest($layers::int[]), unnest($neurons::int[]))",
        {"layers": [each.layer for each in ids], "neurons": [each.neuron for each in ids]},
    )


def _own_ids(texts: Sequence[str], entry: Entry) -> list[NeuronId]:
    """Neuron ids, of which each may begin with the entry's alias.

    Raises:
        UsageError: one is of another model.
        NotFoundError: one is beyond the last layer or neuron.
    """
    ids = []
    for text in texts:
        named = NamedNeuron.parse(text)
        if named.model not in (None, entry.model):
            raise UsageError(
                f"{named} is a neuron of {named.model}; only neurons of {entry.model} can be "
                "ablated in it."
            )
        ids.append(named.id.resolved(entry.sizes, entry.model))
    return ids
