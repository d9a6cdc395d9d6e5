"""Reading one neuron, and the entry that it belongs to."""

import difflib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import duckdb

from catalog.errors import Command, DatabaseError, NotFoundError, UsageError
from catalog.neuron_id import NeuronId
from catalog.queries.canonical import canonical_reading
from catalog.queries.records import (
    AskedExpert,
    CaseStatistics,
    Corpus,
    Described,
    Detector,
    Entry,
    Exemplar,
    LayerCosines,
    Model,
    Neighbour,
    Neuron,
    NeuronRecord,
    Place,
    Queried,
    RoleCutoffs,
    RouterToken,
    SignCase,
    TopToken,
    record_of,
)
from catalog.queries.sql import sql_text
from catalog.store.handle import Handle
from catalog.store.reading import run_for_dicts

_Queried = TypeVar("_Queried", bound=Queried)

_MODELS: Final = "from models order by coalesce(series, model), step nulls first, model"
_FINISHED: Final = "finished_stages"
_KINDS: Final = (
    Neuron,
    LayerCosines,
    TopToken,
    Corpus,
    CaseStatistics,
    Exemplar,
    RoleCutoffs,
    Neighbour,
    Described,
    RouterToken,
    AskedExpert,
    Detector,
)
"""What a report is read from, besides the row of the model."""


def read_neuron(
    catalog: Handle,
    neuron_id: NeuronId,
    model: str | None = None,
    corpus: str | None = None,
    *,
    canonical: bool = False,
) -> NeuronRecord:
    """Read one neuron; `model` may be left out where there is only one.

    Without `corpus` it is shown on the largest that there is. `canonical`: in the reading in which
    cos(w_gate, w_in) is not negative.

    Raises:
        NotFoundError: no such model, corpus, layer or neuron; the message says which there are.
        UsageError: several models, and none was named.
        DatabaseError: its exemplars do not fit the contexts that they name.
    """
    texts = [_MODELS, *map(sql_text, [_FINISHED, *(kind.QUERY for kind in _KINDS)])]
    with catalog.reading(" ".join(texts)) as connection:
        entry = chosen_model(catalog, connection, model)
        neuron_id = neuron_id.resolved(entry.sizes, entry.model)
        records = _Records(catalog, connection, entry.model)
        at = {"layer": neuron_id.layer, "neuron": neuron_id.neuron}
        found = records(Neuron, **at)
        if not found:
            raise _no_neurons_yet(entry)
        corpora = known_corpora(catalog, connection, entry.model)
        shown = chosen_corpus(corpora, corpus, entry.model)
        on = {**at, "corpus": shown.corpus if shown else None}
        exemplars = records(Exemplar, **on) if shown else []
        _check_windows(exemplars, entry.model)
        cutoffs = records.of_model(RoleCutoffs)
        neighbours = records(Neighbour, **at)
        record = NeuronRecord(
            neuron_id,
            entry,
            found[0],
            _places(catalog, records, found[0], canonical=canonical),
            records(TopToken, **at),
            shown,
            _cases(records(CaseStatistics, **on), exemplars) if shown else {},
            cutoffs[0] if cutoffs else None,
            [each for each in neighbours if each.side != "twin"],
            [each for each in neighbours if each.side == "twin"],
            records(Described, **at),
            *_of_expert(entry, neuron_id, records, shown),
            detector=next(iter(records(Detector, **on) if shown else []), None),
            other_corpora=[each.corpus for each in corpora if each != shown],
        )
    return canonical_reading(record) if canonical else record


class _Records:
    """Records of a model by their kinds; none are asked of a stage that it has not finished."""

    def __init__(self, catalog: Handle, connection: duckdb.DuckDBPyConnection, model: str) -> None:
        self._catalog = catalog
        self._connection = connection
        self._model = model
        finished = catalog.once((_FINISHED, model), lambda: self._rows(_FINISHED))
        self._finished = {row["stage"] for row in finished}

    def of_model(self, kind: type[_Queried]) -> list[_Queried]:
        """Records that are the same for every neuron of the model."""
        return self._catalog.once((kind, self._model), lambda: self(kind))

    def __call__(self, kind: type[_Queried], **parameters: Any) -> list[_Queried]:
        if getattr(kind, "STAGE", None) not in (None, *self._finished):
            return []
        return [record_of(kind, row) for row in self._rows(kind.QUERY, **parameters)]

    def _rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        asked = {"model": self._model, **parameters}
        return run_for_dicts(self._connection, sql_text(query), asked, self._catalog.location)


def _places(catalog: Handle, records: _Records, neuron: Neuron, *, canonical: bool) -> list[Place]:
    """Where each cosine of a neuron stands among those of its layer."""

    def ask() -> list[LayerCosines]:
        found = records(LayerCosines, layer=neuron.layer, canonical=canonical)
        return [replace(each, ordered=array("f", each.ordered)) for each in found]

    question = (LayerCosines, neuron.model, neuron.layer, canonical)
    side = -1 if canonical and neuron.flipped else 1
    values = {
        "cos_gate_in": (neuron.cos_gate_in, side),
        "cos_gate_out": (neuron.cos_gate_out, side),
        "cos_in_out": (neuron.cos_in_out, 1),
    }
    places = []
    for each in catalog.once(question, ask):
        value, sign = values[each.cosine]
        places.append(each.place_of(None if value is None else sign * value))
    return places


def _of_expert(
    entry: Model, at: NeuronId, records: _Records, shown: Corpus | None
) -> tuple[list[RouterToken], list[AskedExpert]]:
    """What the router row of a neuron's expert points at, and how often experts are asked."""
    expert = entry.sizes.expert_of(at.layer, at.neuron)
    if expert is None:
        return [], []
    asked = records(AskedExpert, layer=at.layer, corpus=shown.corpus) if shown else []
    return records(RouterToken, layer=at.layer, expert=expert), asked


def _no_neurons_yet(entry: Model) -> NotFoundError:
    return NotFoundError(
        f"{entry.model} has no neurons in the catalog yet: its weights stage is not finished.",
        "Run: ",
        Command("ingest", (entry.source,)),
    )


def read_model(catalog: Handle, alias: str | None) -> Model:
    """The row of `models` for an alias, or the only one there is; raises as `chosen_model`."""
    with catalog.reading(_MODELS) as connection:
        return chosen_model(catalog, connection, alias)


def read_corpora(catalog: Handle, model: str) -> list[Corpus]:
    """As `known_corpora`, of the activations of a model."""
    with catalog.reading(sql_text(Corpus.QUERY)) as connection:
        return known_corpora(catalog, connection, model)


def known_models(catalog: Handle, connection: duckdb.DuckDBPyConnection) -> list[Model]:
    """The rows of `models`, by alias; steps of a series in the order of training."""

    def ask() -> list[Model]:
        rows = run_for_dicts(connection, _MODELS, (), catalog.location)
        return [record_of(Model, row) for row in rows]

    return catalog.once(_MODELS, ask)


def chosen_model(
    catalog: Handle, connection: duckdb.DuckDBPyConnection, alias: str | None
) -> Model:
    """The row of `models` for an alias, or the only one there is.

    Raises:
        NotFoundError: the catalog is empty or has no such model.
        UsageError: several models, and none was named.
    """
    models = known_models(catalog, connection)
    names = [each.model for each in models]
    return models[names.index(chosen_alias(names, catalog.location, alias))]


def chosen_alias(names: Sequence[str], catalog: object, alias: str | None) -> str:
    """An alias, or the only one there is; raises as `chosen_model`."""
    if not names:
        raise no_model_yet(catalog)
    if alias is None:
        if len(names) > 1:
            raise UsageError(f"Which model? There are several; name one: {', '.join(names)}.")
        return names[0]
    if alias not in names:
        steps = [name for name in names if name.startswith(f"{alias}@")]
        if steps:
            raise NotFoundError(f"{alias} is a series. Name one of its steps: {', '.join(steps)}.")
        near = difflib.get_close_matches(alias, names, n=3, cutoff=0.5)
        there = f"Did you mean {' or '.join(near)}?" if near else f"There is: {', '.join(names)}."
        raise NotFoundError(f"{catalog} holds no model {alias!r}. {there}")
    return alias


def no_model_yet(catalog: object) -> NotFoundError:
    """The error for an empty catalog."""
    return NotFoundError(
        f"{catalog} holds no model yet.", "Make a first one: ", Command("ingest", ("demo",))
    )


def read_entry(catalog: Handle, alias: str | None) -> Entry:
    """The row of `models` and the checkpoint's fingerprint.

    Raises:
        NotFoundError, UsageError: no such model, or it is not clear which.
        DatabaseError: the catalog is a lake, which does not hold fingerprints.
    """
    with catalog.tables() as connection:
        entry = chosen_model(catalog, connection, alias)
        parameters = {"model": entry.model}
        (row,) = run_for_dicts(connection, sql_text("fingerprint"), parameters, catalog.location)
        return record_of(Entry, vars(entry) | row)


def known_corpora(
    catalog: Handle,
    connection: duckdb.DuckDBPyConnection,
    model: str | None,
    stage: str = "activations",
) -> list[Corpus]:
    """The corpora on which rows of a stage are shown, of each model the largest first, then by
    name; of all models without `model`."""
    asked = {"model": model, "stage": stage}

    def ask() -> list[Corpus]:
        rows = run_for_dicts(connection, sql_text(Corpus.QUERY), asked, catalog.location)
        return [record_of(Corpus, row) for row in rows]

    return catalog.once((Corpus, model, stage), ask)


def chosen_corpus(known: list[Corpus], name: str | None, model: str) -> Corpus | None:
    """The corpus of that name, without one the first, which is the largest; None if there is none.

    Raises:
        NotFoundError: no such corpus.
    """
    names = [each.corpus for each in known]
    if name is None:
        return known[0] if known else None
    if name not in names:
        raise unknown_corpus(name, names, f"{model} has no")
    return known[names.index(name)]


def said_of_corpora(name: str | None, shown: str, known: Iterable[str]) -> tuple[str, ...]:
    """A sentence on which of several corpora was taken; none where one was named, or is alone."""
    others = [each for each in known if each != shown]
    if name is not None or not others:
        return ()
    return (f"Of its corpora the largest is read, {shown}; there is also: {', '.join(others)}.",)


def unknown_corpus(name: str, names: Sequence[str], who: str) -> NotFoundError:
    """The error for a corpus that is not among `names`; `who` begins the sentence."""
    return NotFoundError(
        f"{who} activations on a corpus {name!r}. There is: {', '.join(names) or 'none'}."
    )


def _cases(statistics: list[CaseStatistics], exemplars: list[Exemplar]) -> dict[str, SignCase]:
    return {
        each.sign_case: SignCase(each, [e for e in exemplars if e.sign_case == each.sign_case])
        for each in statistics
    }


def _check_windows(exemplars: list[Exemplar], model: str) -> None:
    for each in exemplars:
        tokens, posts = each.window_tokens or [], each.window_post or []
        if not tokens or len(tokens) != len(posts) or None in (each.text, *tokens):
            raise DatabaseError(
                f"An exemplar of {each.sign_case} does not fit context {each.context_id}: the "
                "catalog was changed or is damaged.",
                "To find what differs: ",
                Command("verify", (model,)),
            )
