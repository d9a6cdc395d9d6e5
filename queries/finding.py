"""Neurons by class, role, layer and token: the everyday question without SQL."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import duckdb

from catalog.errors import SqlError, UsageError
from catalog.neuron_id import NamedNeuron, NeuronId
from catalog.queries.neuron_record import (
    chosen_corpus,
    chosen_model,
    known_corpora,
    known_models,
)
from catalog.queries.parameters import require_gates, require_known
from catalog.queries.records import Model
from catalog.queries.sql import sql_text
from catalog.queries.stages import missing_stages
from catalog.store.handle import Handle
from catalog.store.location import Location
from catalog.store.reading import run_for_dicts, run_query
from catalog.taxonomy import (
    BASIS_CHOICES,
    CORPUS_ORDERS,
    FUNCTIONAL_ROLES,
    IO_CLASSES,
    LARGEST_INTEGER,
    ORDERS,
    SIGNS,
    TOKEN_ORDERS,
    VECTORS,
)
from catalog.token_sets import TOKEN_SETS

if TYPE_CHECKING:
    import pyarrow as pa

CHOICES: Final[dict[str, Sequence[str]]] = {
    "io_class": IO_CLASSES,
    "role": FUNCTIONAL_ROLES,
    "vector": VECTORS,
    "sign": SIGNS,
    "basis": BASIS_CHOICES,
    "order": (*ORDERS, *CORPUS_ORDERS, *TOKEN_ORDERS),
    "token_set": tuple(TOKEN_SETS),
}
_STAGE_OF: Final = {"frequency": "activations", "effect": "attribution", "magnitude": "attribution"}
"""What a quantity of a corpus comes from."""

_N_NEAR: Final = 5
_MOST_PIECES: Final = 2_000
_N_NAMED: Final = 8
"""So many pieces are named in a note."""


@dataclass(frozen=True)
class Sought:
    """What neurons are looked for; None leaves a choice open, several values mean any of them.

    `first_layer`, `last_layer`: a range, both or neither; `layers`: any of these. `neurons`: a list
    of them, `model:28.4737` or `28.4737`, to which all else is confined. Tokens are sought among
    the top tokens of `vector` (any), at the end `sign` (either), in `basis`: pieces that are a
    `token`, match the regular expression `regex` (RE2's syntax, anywhere in the piece), or are of a
    `token_set`; `ignore_case` folds all of them. `order`: what comes first, the largest (or
    `smallest`), skew and cosines by magnitude; without it kurtosis, or with tokens the most of
    them, then the best rank. A quantity of a `corpus` (which may be left out where there is only
    one) gets a column. `k`: how many, after `skip`.
    `describes`: a text in any of the neuron's descriptions, in capitals or not.

    Raises UsageError for a choice that there is not.
    """

    model: str | None = None
    io_class: str | Sequence[str] | None = None
    atypical: bool | None = None
    role: str | Sequence[str] | None = None
    first_layer: int | None = None
    last_layer: int | None = None
    layers: Sequence[int] = ()
    neurons: Sequence[str] | None = None
    token: str | Sequence[str] | None = None
    regex: str | None = None
    token_set: str | Sequence[str] | None = None
    ignore_case: bool = False
    vector: str | None = None
    sign: str | None = None
    basis: str = "unembed"
    order: str | None = None
    corpus: str | None = None
    smallest: bool = False
    k: int = 20
    skip: int = 0
    describes: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Sought":
        """What settings by these names ask for; raises UsageError for any other name."""
        names = [each.name for each in fields(cls)]
        for name in settings:
            if name not in names:
                raise UsageError(f"There is no {name} to find by. There is: {', '.join(names)}.")
        return cls(**settings)

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            for value in as_list(getattr(self, name)):
                if value not in choices:
                    raise UsageError(f"{name} is {value!r}; there is: {', '.join(choices)}.")
        if self.describes is not None and not self.describes.strip():
            raise UsageError("describes is empty; it takes a text to look for in descriptions.")
        if self.order in TOKEN_ORDERS and not self.names_tokens:
            raise UsageError(f"order {self.order} is about tokens, and none is sought.")
        if self.corpus is not None and self.order not in CORPUS_ORDERS:
            there = ", ".join(CORPUS_ORDERS)
            raise UsageError(f"corpus goes with an order that needs one: {there}.")
        if self.k < 1:
            raise UsageError(f"k is {self.k}; it must be at least 1.")
        if not 0 <= self.skip <= LARGEST_INTEGER:
            raise UsageError(f"skip is {self.skip}; it must be 0 or more.")
        if self.ignore_case and not self.names_tokens:
            raise UsageError("ignore_case is about tokens, and none is sought.")

    @property
    def names_tokens(self) -> bool:
        """Whether tokens are sought."""
        return bool(as_list(self.token) or self.regex is not None or as_list(self.token_set))

    @property
    def chosen_layers(self) -> list[int]:
        """The layers sought, sorted; none where all are."""
        between: Sequence[int] = ()
        if self.first_layer is not None and self.last_layer is not None:
            between = range(self.first_layer, self.last_layer + 1)
        return sorted({*between, *self.layers})

    @property
    def tokens(self) -> list[str]:
        """The pieces sought as they are."""
        return as_list(self.token)

    @property
    def pattern(self) -> str | None:
        """One regular expression for `regex` and the sets, None without them."""
        patterns = [TOKEN_SETS[name] for name in as_list(self.token_set)]
        patterns += [] if self.regex is None else [self.regex]
        if not patterns:
            return None
        return ("(?i)" if self.ignore_case else "") + "|".join(f"(?:{each})" for each in patterns)


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
            *(("io_class", name) for name in as_list(sought.io_class)),
            ("vector", sought.vector),
            ("atypical", sought.atypical),
            ("cosine", sought.order),
        ]
        require_gates(connection, [*given, *of_a_gate], catalog)
        parameters: dict[str, Any] = {
            "model": sought.model,
            "io_classes": as_list(sought.io_class),
            "atypical": sought.atypical,
            "roles": as_list(sought.role),
            "first_layer": layers[0] if layers else None,
            "last_layer": layers[-1] if layers else None,
            "layers": layers,
            "order": sought.order,
            "corpus": sought.corpus,
            "smallest": sought.smallest,
            "k": sought.k,
            "skip": sought.skip,
            "describes": sought.describes,
        }
        among, notes = confined(connection, catalog.location, sought)
        notes += _lacking(connection, catalog, sought)
        parameters |= among
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


def _lacking(
    connection: duckdb.DuckDBPyConnection, catalog: Handle, sought: Sought
) -> tuple[str, ...]:
    """A note where no model has what the order needs a corpus for.

    Raises:
        NotFoundError, UsageError: no such corpus, or a model has several and none was named.
    """
    if sought.order not in CORPUS_ORDERS:
        return ()
    require_known(connection, [("model", sought.model), ("corpus", sought.corpus)], catalog)
    asked = [each.model for each in known_models(catalog, connection)]
    if sought.corpus is None:
        for model in asked if sought.model is None else [sought.model]:
            chosen_corpus(known_corpora(connection, catalog.location, model), None, model)
    needs = [_STAGE_OF[sought.order]]
    missing = missing_stages(connection, needs, sought.model, catalog.location)
    who = f"{sought.model} lacks" if sought.model else "No model has"
    return tuple(f"{who} the stage {e.stage}. To ingest it: {e.command}" for e in missing)


def confined(
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


def as_list(value: str | Sequence[str] | None) -> list[str]:
    """One value, several or none as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
