"""Neurons by class, role, layer and token: the everyday question without SQL."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import duckdb

from catalog.errors import SqlError, UsageError
from catalog.neuron_id import NamedNeuron, NeuronId
from catalog.queries.neuron_record import chosen_model
from catalog.queries.parameters import require_gates, require_known
from catalog.queries.records import Model
from catalog.queries.sql import sql_text
from catalog.sought import Sought, listed
from catalog.store.handle import Handle
from catalog.store.location import Location
from catalog.store.reading import run_for_dicts, run_query

if TYPE_CHECKING:
    import pyarrow as pa

_N_NEAR: Final = 5
_MOST_PIECES: Final = 2_000
_N_NAMED: Final = 8
"""So many pieces are named in a note."""


class Found(NamedTuple):
    """Rows, and sentences on the tokens that were sought."""

    rows: "pa.Table"
    notes: tuple[str, ...] = ()


def found(catalog: Handle, sought: Sought) -> Found:
    """The neurons that are so, one row each; with tokens, one for each list that has any.

    Raises:
        NotFoundError: the catalog has no such model or layer.
        UsageError: the regular expression is none, or it is about the gate, and no model that is
            asked has one.
    """
    with catalog.reading() as connection:
        layers = sought.chosen_layers
        given = [("model", sought.model), ("layer", layers[-1] if layers else None)]
        require_known(connection, given, catalog.location)
        of_a_gate = [
            *(("io_class", name) for name in listed(sought.io_class)),
            ("vector", sought.vector),
            ("atypical", sought.atypical),
            ("cosine", sought.order),
        ]
        require_gates(connection, [*given, *of_a_gate], catalog.location)
        parameters: dict[str, Any] = {
            "model": sought.model,
            "io_classes": listed(sought.io_class),
            "atypical": sought.atypical,
            "roles": listed(sought.role),
            "first_layer": layers[0] if layers else None,
            "last_layer": layers[-1] if layers else None,
            "layers": layers,
            "order": sought.order,
            "smallest": sought.smallest,
            "k": sought.k,
            "skip": sought.skip,
            "describes": sought.describes,
        }
        among, unknown = _among(connection, catalog.location, sought)
        parameters |= among
        if not sought.names_tokens:
            parameters["order"] = sought.order or "kurtosis"
            rows = run_query(connection, sql_text("find"), parameters, catalog.location)
            return Found(_columns(rows, sought), unknown)
        pieces = _pieces(connection, catalog.location, sought)
        parameters |= {
            "pieces": pieces,
            "vector": sought.vector,
            "sign": sought.sign,
            "basis": sought.basis,
        }
        rows = run_query(connection, sql_text("find_by_token"), parameters, catalog.location)
        notes = _notes(connection, catalog.location, sought, pieces)
        return Found(_columns(rows, sought), (*unknown, *notes))


def _columns(rows: "pa.Table", sought: Sought) -> "pa.Table":
    """The rows with the description that matched only where one is sought."""
    return rows if sought.describes is not None else rows.drop_columns(["description"])


def facets(catalog: Handle, sought: Sought) -> "pa.Table":
    """How many neurons of the model there are by class, role and layer: facet, value, neurons.

    Each facet is counted among the neurons that the choices of the others allow.
    """
    asked = {
        "model": sought.model,
        "io_classes": listed(sought.io_class),
        "atypical": sought.atypical,
        "roles": listed(sought.role),
        "layers": sought.chosen_layers,
    }
    with catalog.reading() as connection:
        among, _ = _among(connection, catalog.location, sought)
        return run_query(connection, sql_text("facets"), asked | among, catalog.location)


def _among(
    connection: duckdb.DuckDBPyConnection, catalog: Location, sought: Sought
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The list that the search is confined to as parameters, and a note on who is not there."""
    named = [NamedNeuron.parse(each) for each in sought.neurons or ()]
    asked = list(_counted(named, connection, catalog, sought.model))
    rows: list[dict[str, Any]] = []
    if named:
        parameters = {
            "model": sought.model,
            "models": [model for _, model, _ in asked],
            "layers": [neuron.layer for *_, neuron in asked],
            "neurons": [neuron.neuron for *_, neuron in asked],
        }
        rows = run_for_dicts(connection, sql_text("listed_neurons"), parameters, catalog)
    found = {(row["named"], row["layer"], row["neuron"]) for row in rows}
    lost = [each for each, model, n in asked if (model, n.layer, n.neuron) not in found]
    notes = []
    if lost:
        more = ", ..." if len(lost) > _N_NAMED else "."
        who = ", ".join(map(str, lost[:_N_NAMED]))
        notes.append(f"{len(lost):,} of {len(named):,} listed neurons are not here: {who}{more}")
    among = {
        "is_listed": sought.neurons is not None,
        "in_models": [row["model"] for row in rows],
        "in_layers": [row["layer"] for row in rows],
        "in_neurons": [row["neuron"] for row in rows],
    }
    return among, tuple(notes)


def _counted(
    named: Iterable[NamedNeuron],
    connection: duckdb.DuckDBPyConnection,
    catalog: Location,
    model: str | None,
) -> Iterator[tuple[NamedNeuron, str | None, NeuronId]]:
    """The neurons of a list, each with its model and its id counted through the layer.

    The model is None where none is named, and none is needed to know an expert's place.

    Raises:
        NotFoundError, UsageError: no such expert, or it is not clear of which model.
    """
    entries: dict[str | None, Model] = {}
    for each in named:
        if each.id.expert is None:
            yield each, each.model, each.id
            continue
        alias = model if each.model is None else each.model
        if alias not in entries:
            entries[alias] = chosen_model(connection, catalog, alias)
        entry = entries[alias]
        yield each, entry.model, each.id.resolved(entry.sizes, entry.model)


def _pieces(connection: duckdb.DuckDBPyConnection, catalog: Location, sought: Sought) -> list[str]:
    """The pieces of the vocabularies that are sought, sorted.

    Raises:
        UsageError: the regular expression is none, or so many pieces match that it says nothing.
    """
    parameters = {
        "model": sought.model,
        "tokens": [each.lower() if sought.ignore_case else each for each in sought.tokens],
        "pattern": sought.pattern,
        "ignore_case": sought.ignore_case,
    }
    try:
        rows = run_for_dicts(connection, sql_text("token_pieces"), parameters, catalog)
    except SqlError as error:
        if sought.regex is None:
            raise
        raise UsageError(
            f"{sought.regex!r} is no regular expression (RE2's syntax): {error.said}"
        ) from error
    if len(rows) > _MOST_PIECES:
        raise UsageError(
            f"{len(rows):,} pieces of the vocabulary match; at most {_MOST_PIECES:,} are sought at "
            "once. Name fewer."
        )
    return [row["token"] for row in rows]


def _notes(
    connection: duckdb.DuckDBPyConnection, catalog: Location, sought: Sought, pieces: list[str]
) -> tuple[str, ...]:
    """What matched where that is more than the tokens themselves; what is near where none did."""
    known = {piece.lower() if sought.ignore_case else piece for piece in pieces}
    where = sought.model or "any model here"
    notes = []
    for token in sought.tokens:
        if (token.lower() if sought.ignore_case else token) not in known:
            parameters = {"model": sought.model, "token": token, "k": _N_NEAR}
            near = run_for_dicts(connection, sql_text("near_pieces"), parameters, catalog)
            named = ", ".join(repr(row["token"]) for row in near) or "none"
            notes.append(f"{token!r} is no piece of the vocabulary of {where}. Near it: {named}.")
    if set(pieces) - set(sought.tokens):
        more = ", ..." if len(pieces) > _N_NAMED else "."
        named = ", ".join(map(repr, pieces[:_N_NAMED]))
        notes.append(f"{len(pieces):,} pieces match: {named}{more}")
    elif sought.pattern is not None and not pieces:
        notes.append(f"No piece of the vocabulary of {where} matches.")
    return tuple(notes)
