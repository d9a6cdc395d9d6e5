"""Neurons by class, role, layer and token: the everyday question without SQL."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import duckdb

from catalog.errors import SqlError, UsageError
from catalog.neuron_id import NamedNeuron, NeuronId
from catalog.queries.neuron_record import chosen_model, known_corpora, said_of_corpora
from catalog.queries.parameters import require_gates, require_known
from catalog.queries.records import Model
from catalog.queries.sql import sql_text
from catalog.queries.stages import missing_stages
from catalog.sought import Sought, listed
from catalog.store.handle import Handle
from catalog.store.location import Location
from catalog.store.reading import run_for_dicts, run_query
from catalog.taxonomy import CORPUS_ORDERS

if TYPE_CHECKING:
    import pyarrow as pa

_STAGE_OF: Final = {"frequency": "activations", "effect": "attribution", "magnitude": "attribution"}
"""What a quantity of a corpus comes from."""

_N_NEAR: Final = 5
_MOST_PIECES: Final = 2_000
_N_NAMED: Final = 8
"""So many pieces are named in a note."""


class Found(NamedTuple):
    """Rows, sentences on what was sought, and how many rows there are in all: `total`, None where
    `skip` went beyond the last."""

    rows: "pa.Table"
    notes: tuple[str, ...]
    total: int | None


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
        require_known(connection, given, catalog)
        of_a_gate = [
            *(("io_class", name) for name in listed(sought.io_class)),
            ("vector", sought.vector),
            ("atypical", sought.atypical),
            ("cosine", sought.order),
        ]
        require_gates(connection, [*given, *of_a_gate], catalog)
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
        among, notes = confined(catalog, connection, sought)
        measured = _measured(catalog, connection, sought)
        notes += measured.notes
        of_measured = {"measured_of": list(measured.on), "measured_on": list(measured.on.values())}
        parameters |= among | of_measured
        if not sought.names_tokens:
            parameters["order"] = sought.order or "kurtosis"
            rows = run_query(connection, sql_text("find"), parameters, catalog.location)
            return _found(rows, sought, notes)
        pieces = _pieces(connection, catalog.location, sought)
        parameters |= {
            "pieces": pieces,
            "vector": sought.vector,
            "sign": sought.sign,
            "basis": sought.basis,
        }
        rows = run_query(connection, sql_text("find_by_token"), parameters, catalog.location)
        notes += _notes(connection, catalog.location, sought, pieces)
        return _found(rows, sought, notes)


def _found(rows: "pa.Table", sought: Sought, notes: tuple[str, ...]) -> Found:
    """The rows without columns that were not asked for, and their number without a limit."""
    total = rows.column("n_found")[0].as_py() if rows.num_rows else None
    unasked = ["n_found"]
    if sought.describes is None:
        unasked.append("description")
    if sought.order in CORPUS_ORDERS:
        names = [sought.order if n == "measured" else n for n in rows.column_names]
        rows = rows.rename_columns(names)
    else:
        unasked.append("measured")
    if not rows.num_rows and not sought.skip:
        total = 0
    return Found(rows.drop_columns(unasked), notes, total)


class _Measured(NamedTuple):
    """Where the quantity of an order is read: a corpus for each model that has it."""

    on: dict[str, str]
    notes: tuple[str, ...] = ()


def _measured(catalog: Handle, connection: duckdb.DuckDBPyConnection, sought: Sought) -> _Measured:
    """The corpus that is named, without one the largest of each model; a note where there is none.

    Raises:
        NotFoundError: no such corpus.
    """
    if sought.order not in CORPUS_ORDERS:
        return _Measured({})
    require_known(connection, [("model", sought.model), ("corpus", sought.corpus)], catalog)
    stage = _STAGE_OF[sought.order]
    there: dict[str, list[str]] = {}
    for each in known_corpora(catalog, connection, sought.model, stage):
        there.setdefault(each.model, []).append(each.corpus)
    on = {
        model: sought.corpus or names[0]
        for model, names in there.items()
        if sought.corpus in (None, *names)
    }
    if sought.model in on:
        said = said_of_corpora(sought.corpus, on[sought.model], there[sought.model])
        return _Measured(on, said)
    missing = missing_stages(connection, [stage], sought.model, catalog.location)
    who = f"{sought.model} lacks" if sought.model else "No model has"
    return _Measured(
        on, tuple(f"{who} the stage {e.stage}. To ingest it: {e.command}" for e in missing)
    )


def confined(
    catalog: Handle, connection: duckdb.DuckDBPyConnection, sought: Sought
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The list that the search is confined to as parameters, and a note on who is not there."""
    named = [NamedNeuron.parse(each) for each in sought.neurons or ()]
    asked = list(_counted(named, catalog, connection, sought.model))
    rows: list[dict[str, Any]] = []
    if named:
        parameters = {
            "model": sought.model,
            "models": [model for _, model, _ in asked],
            "layers": [neuron.layer for *_, neuron in asked],
            "neurons": [neuron.neuron for *_, neuron in asked],
        }
        rows = run_for_dicts(connection, sql_text("listed_neurons"), parameters, catalog.location)
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
    catalog: Handle,
    connection: duckdb.DuckDBPyConnection,
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
            entries[alias] = chosen_model(catalog, connection, alias)
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
        match = "1 piece matches" if len(pieces) == 1 else f"{len(pieces):,} pieces match"
        notes.append(f"{match}: {named}{more}")
    elif sought.pattern is not None and not pieces:
        notes.append(f"No piece of the vocabulary of {where} matches.")
    return tuple(notes)
