"""Everything the catalog knows of one neuron, as typed records that reports and JSON share."""

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from catalog.errors import DatabaseError, NotFoundError, UsageError
from catalog.neuron_id import NeuronId
from catalog.queries.own import own_sql
from catalog.store.handle import Handle
from catalog.store.location import Location
from catalog.store.reading import run_for_dicts
from catalog.taxonomy import SIGN_CASES

Row = dict[str, Any]


@dataclass(frozen=True)
class SignCase:
    """How a neuron behaves in one sign case, and its strongest exemplars there."""

    statistics: Row
    exemplars: list[Row]


@dataclass(frozen=True, repr=False)
class NeuronRecord:
    """One neuron: its model's entry, its row of `neurons`, and what other views hold of it.

    `places`: per cosine, quartiles of the layer and the share of its neurons below this one.
    `tokens`: rows of `top_tokens`. `cases`: by sign case, empty if no corpus was ingested.
    """

    id: NeuronId
    model: Row
    neuron: Row
    places: list[Row]
    tokens: list[Row]
    corpus: Row | None
    cases: dict[str, SignCase]

    def __repr__(self) -> str:
        return f"NeuronRecord({self.id} of {self.model['model']}: {self.neuron['io_class']})"

    def _repr_html_(self) -> str:
        from catalog.queries.neuron_html import neuron_html

        return neuron_html(self)

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values, for JSON."""
        return dataclasses.asdict(self) | {"id": str(self.id)}


def read_neuron(
    catalog: Handle,
    neuron_id: NeuronId,
    model: str | None = None,
    corpus: str | None = None,
) -> NeuronRecord:
    """Read one neuron; `model` and `corpus` may be left out where there is only one.

    Raises:
        NotFoundError: no such model, corpus, layer or neuron; the message says which there are.
        UsageError: several models or corpora, and none was named.
        DatabaseError: its exemplars do not fit the contexts that they name.
    """
    with catalog.reading() as connection:

        def rows(name: str, **parameters: Any) -> list[Row]:
            return run_for_dicts(connection, own_sql(name), parameters, catalog.location)

        entry = chosen_model(connection, catalog.location, model)
        check_in_range(neuron_id, entry)
        at = {"model": entry["model"], "layer": neuron_id.layer, "neuron": neuron_id.neuron}
        found = rows("neuron", **at)
        if not found:
            raise NotFoundError(
                f"{entry['model']} has no neurons in the catalog yet: its weights stage is not "
                f"finished. Run: catalog ingest {entry['source']}"
            )
        known = rows("corpora", model=entry["model"])
        shown = _chosen_corpus(known, corpus, entry["model"])
        cases = {}
        if shown is not None:
            on = {**at, "corpus": shown["corpus"]}
            exemplars = rows("neuron_exemplars", **on)
            _check_windows(exemplars, entry["model"])
            cases = _cases(rows("neuron_stats", **on), exemplars)
        return NeuronRecord(
            neuron_id,
            entry,
            found[0],
            rows("layer_place", **at),
            rows("neuron_tokens", **at),
            shown,
            cases,
        )


def chosen_model(
    connection: duckdb.DuckDBPyConnection, catalog: Location, alias: str | None
) -> Row:
    """The row of `models` for an alias, or the only one there is.

    Raises:
        NotFoundError: the catalog is empty or has no such model.
        UsageError: several models, and none was named.
    """
    models = run_for_dicts(connection, "from models order by model", (), catalog)
    names = [str(row["model"]) for row in models]
    if not models:
        raise NotFoundError(f"{catalog} holds no model yet. Make a first one: catalog ingest demo")
    if alias is None:
        if len(models) > 1:
            raise UsageError(f"Which model? There are several; name one: {', '.join(names)}.")
        return models[0]
    if alias not in names:
        near = difflib.get_close_matches(alias, names, n=3, cutoff=0.5)
        there = f"Did you mean {' or '.join(near)}?" if near else f"There is: {', '.join(names)}."
        raise NotFoundError(f"{catalog} holds no model {alias!r}. {there}")
    return models[names.index(alias)]


def read_entry(catalog: Handle, alias: str | None, neuron_id: NeuronId | None = None) -> Row:
    """The row of `models` and the checkpoint's fingerprint; a neuron is checked to be in range.

    Raises:
        NotFoundError, UsageError: no such model or neuron, or it is not clear which model.
        DatabaseError: the catalog is a lake, which does not hold fingerprints.
    """
    with catalog.tables() as connection:
        entry = chosen_model(connection, catalog.location, alias)
        if neuron_id is not None:
            check_in_range(neuron_id, entry)
        parameters = {"model": entry["model"]}
        (row,) = run_for_dicts(connection, own_sql("fingerprint"), parameters, catalog.location)
        return entry | row


def check_in_range(neuron_id: NeuronId, model: Row) -> None:
    """Refuse a neuron that the model does not have.

    Raises:
        NotFoundError: the layer or the neuron is beyond the last one.
    """
    for what, value, count in (
        ("layer", neuron_id.layer, model["n_layers"]),
        ("neuron", neuron_id.neuron, model["d_mlp"]),
    ):
        if value >= count:
            raise NotFoundError(
                f"There is no {what} {value} in {model['model']}: {what}s go from 0 to {count - 1}."
            )


def _chosen_corpus(known: list[Row], name: str | None, model: str) -> Row | None:
    names = [row["corpus"] for row in known]
    if name is None:
        if len(known) > 1:
            raise UsageError(f"Which corpus? Name one with --corpus: {', '.join(names)}.")
        return known[0] if known else None
    if name not in names:
        raise unknown_corpus(name, names, f"{model} has no")
    return known[names.index(name)]


def unknown_corpus(name: str, names: Sequence[str], who: str) -> NotFoundError:
    """The error for a corpus that is not among `names`; `who` begins the sentence."""
    return NotFoundError(
        f"{who} activations on a corpus {name!r}. There is: {', '.join(names) or 'none'}."
    )


def _cases(statistics: list[Row], exemplars: list[Row]) -> dict[str, SignCase]:
    by_case = {row["sign_case"]: row for row in statistics}
    return {
        case: SignCase(by_case[case], [row for row in exemplars if row["sign_case"] == case])
        for case in SIGN_CASES
        if case in by_case
    }


def _check_windows(exemplars: list[Row], model: str) -> None:
    for row in exemplars:
        tokens, posts = row["window_tokens"] or [], row["window_post"] or []
        if not tokens or len(tokens) != len(posts) or None in (row["text"], *tokens):
            raise DatabaseError(
                f"An exemplar of {row['sign_case']} does not fit context {row['context_id']}: the "
                f"catalog was changed or is damaged. To find what differs: catalog verify {model}"
            )
