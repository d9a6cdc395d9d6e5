"""Neurons chosen by a condition in SQL over the view `neurons`."""

from dataclasses import dataclass
from typing import Any, ClassVar

import duckdb

from catalog.errors import SqlError, UsageError
from catalog.neuron_id import NeuronId
from catalog.queries.neuron_record import chosen_model
from catalog.queries.records import Model, record_of
from catalog.queries.sql import sql_text
from catalog.store.handle import Handle
from catalog.store.location import Location
from catalog.store.reading import run_for_dicts
from catalog.store.statements import checked_condition


@dataclass(frozen=True)
class ChosenNeuron:
    """A neuron among those chosen, with what a list of them says of each."""

    QUERY: ClassVar[str] = "chosen_neurons"

    layer: int
    neuron: int
    neuron_id: str
    io_class: str | None
    atypical: bool | None
    functional_role: str | None
    cos_gate_in: float | None
    cos_gate_out: float | None
    cos_in_out: float | None
    description: str | None


@dataclass(frozen=True)
class ChosenNeurons:
    """Neurons of a model that a condition holds for, in (layer, neuron) order; never none."""

    model: Model
    where: str | None
    neurons: list[ChosenNeuron]


def neuron_condition(connection: duckdb.DuckDBPyConnection, where: str) -> str:
    """A user's condition, if it is one.

    Raises:
        SqlError: it is not, or does more than read.
    """
    source = "(from neurons limit 0) as neurons"
    condition = checked_condition(connection, where, source)
    try:
        (described,) = connection.execute(
            f"describe select ({condition}\n) as chosen from {source}"
        ).fetchall()
    except duckdb.Error as error:
        raise SqlError(f"The condition cannot be asked of neurons. {error}") from error
    if described[1] != "BOOLEAN":
        raise SqlError(
            f"{where.strip()!r} is no condition: it gives {described[1]}, not true or false. Write "
            "for example: layer > 3 and io_class = 'depletion'."
        )
    return condition


def ids_where(
    connection: duckdb.DuckDBPyConnection,
    model: str,
    condition: str,
    catalog: Location,
    **bound: Any,
) -> list[NeuronId]:
    """The neurons of a model that a checked condition holds for, in (layer, neuron) order."""
    sql = (
        "select layer, neuron from (from neurons where model = $model) as neurons "
        f"where {condition}\norder by layer, neuron"
    )
    found = run_for_dicts(connection, sql, {"model": model, **bound}, catalog)
    return [NeuronId(row["layer"], row["neuron"]) for row in found]


def neurons_where(catalog: Handle, model: str | None, where: str | None) -> ChosenNeurons:
    """The neurons of a model, or of the only one, that `where` holds for; without it, all.

    Raises:
        NotFoundError, UsageError: no such model, several and none was named, or no such neuron.
        SqlError: `where` is no condition on neurons.
    """
    with catalog.reading() as connection:
        entry = chosen_model(catalog, connection, model)
        condition = "true" if where is None else neuron_condition(connection, where)
        ids = ids_where(connection, entry.model, condition, catalog.location)
        if not ids:
            said = "" if where is None else f" for which {where.strip()!r} holds"
            raise UsageError(f"There is no neuron of {entry.model}{said}.")
        asked = {
            "model": entry.model,
            "layers": [each.layer for each in ids],
            "neurons": [each.neuron for each in ids],
        }
        rows = run_for_dicts(connection, sql_text(ChosenNeuron.QUERY), asked, catalog.location)
    return ChosenNeurons(entry, where, [record_of(ChosenNeuron, row) for row in rows])
