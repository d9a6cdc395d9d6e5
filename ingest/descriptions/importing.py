"""Descriptions into a catalog: whose they are, which of them are new, and what was left out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from catalog.errors import NotFoundError, Option, UsageError
from catalog.ingest.descriptions.description import ANY, Description, NotANeuron, described_cases
from catalog.ingest.descriptions.formats import FORMATS, Found
from catalog.ingest.versions import versions
from catalog.layers import LayerSizes
from catalog.neuron_id import NeuronId
from catalog.queries.neuron_record import chosen_alias, no_model_yet
from catalog.store.descriptions import BY_HAND, add_descriptions
from catalog.store.handle import Handle

MOST_DESCRIPTIONS: Final = 3_000_000
"""Of one import: three for each neuron of a model of some 30 layers."""

MOST_CHARACTERS: Final = 1_000_000_000
"""Of the descriptions of one import, which are held in memory."""

_AT_ONCE: Final = 50_000
_N_NAMED: Final = 8
_SHOWN: Final = 80
"""Characters of a name in a message."""

_SCHEMA: Final = pa.schema(
    [
        ("layer", pa.int16()),
        ("neuron", pa.int32()),
        ("sign_case", pa.string()),
        ("description", pa.string()),
        ("explainer", pa.string()),
        ("scorer", pa.string()),
        ("score", pa.float64()),
        ("source", pa.string()),
        ("source_key", pa.string()),
        ("place", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Imported:
    """What an import did: `n_new` descriptions of the `n_read` that are of neurons here, by alias.

    `left_out`: sentences on what else the file has, each with names and a count.
    """

    n_new: Mapping[str, int]
    n_read: Mapping[str, int]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    model_id: int
    alias: str
    source: str
    gated: bool
    sizes: LayerSizes


@dataclass
class _Sorted:
    """Descriptions by entry as Arrow tables, and what belongs to none."""

    batches: dict[int, list[pa.RecordBatch]] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    strangers: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    n: int = 0
    n_characters: int = 0


def import_descriptions(
    catalog: Handle,
    path: Path,
    file_format: str,
    names: Mapping[str, str] | None = None,
    model: str | None = None,
) -> Imported:
    """Load the descriptions of a file or folder that are new, in one transaction.

    `names`: aliases by the names that the file has for models; other names are an alias, or the
    source of one entry. `model`: of whom a file speaks that names none.

    Raises:
        UsageError: the file is not of this format, or too large; nothing was imported.
        NotFoundError: no such model, or none of the file's neurons is here.
    """
    if file_format not in FORMATS:
        raise UsageError(f"format is {file_format!r}; there is: {', '.join(FORMATS)}.")
    found = FORMATS[file_format](path)
    with catalog.tables("") as connection:
        entries = _entries(connection)
    given = _sorted(found, _Names(entries, names or {}, model, catalog))
    left_out = tuple(_left_out(given))
    if not given.batches:
        raise NotFoundError(
            f"{path} describes no neuron that is here.",
            " ".join(left_out) or "It is empty.",
        )
    new, read = {}, {}
    with catalog.writing() as connection:
        ids = {each.model_id: each for each in _entries(connection)}
        for model_id, batches in given.batches.items():
            if ids.get(model_id) not in entries:
                raise NotFoundError("An entry was dropped meanwhile. Nothing was imported.")
            rows = pa.Table.from_batches(batches)
            alias = ids[model_id].alias
            notes = {"file": path.name}
            read[alias] = rows.num_rows
            new[alias] = add_descriptions(
                connection, model_id, rows, file_format, versions(), notes
            )
    return Imported(new, read, left_out)


def describe(
    catalog: Handle,
    neuron_id: str,
    text: str,
    model: str | None = None,
    sign_case: str = ANY,
    author: str | None = None,
) -> bool:
    """Keep what a person says of a neuron; returns whether it was new.

    Raises:
        UsageError: it is no neuron id, the text is empty or too long, or it is not clear of whom.
        NotFoundError: there is no such model or neuron.
    """
    at = NeuronId.parse(neuron_id)
    for given in (text, author or ""):
        if not _is_unicode(given):
            raise UsageError(f"{given!r} is no valid Unicode text.")
    try:
        said = Description(at.layer, at.neuron, text.strip(), BY_HAND, model, sign_case, author)
    except ValueError as error:
        raise UsageError(f"This cannot be kept: {error}.") from None
    with catalog.writing() as connection:
        entry = _Names(_entries(connection), {}, model, catalog).named(None)
        assert entry is not None
        at = at.resolved(entry.sizes, entry.alias)
        cases = described_cases(gated=entry.gated)
        if sign_case not in cases:
            raise UsageError(
                f"{entry.alias} has no sign case {sign_case}. There is: {', '.join(cases)}."
            )
        said = replace(said, layer=at.layer, neuron=at.neuron)
        rows = pa.Table.from_pylist([_row(said, 0)], schema=_SCHEMA)
        return bool(add_descriptions(connection, entry.model_id, rows, BY_HAND, versions(), {}))


def _is_unicode(text: str) -> bool:
    """Whether it has no bytes of another encoding, as a command line may."""
    return text == text.encode("utf-8", "replace").decode()


class _Names:
    """The entries of a catalog by the names that a file has for them."""

    def __init__(
        self,
        entries: list[_Entry],
        names: Mapping[str, str],
        model: str | None,
        catalog: Handle,
    ) -> None:
        if not entries:
            raise no_model_yet(catalog)
        self._by_alias = {each.alias: each for each in entries}
        self._names = names
        for alias in [*names.values(), *([] if model is None else [model])]:
            chosen_alias(list(self._by_alias), catalog, alias)
        self._model = model

    def named(self, name: str | None) -> _Entry | None:
        """The entry of a name; without one, the one that was named for all, or the only one.

        Raises:
            UsageError: there are several, and none was named.
        """
        if name is not None:
            if name in self._names or name in self._by_alias:
                return self._by_alias[self._names.get(name, name)]
            of_source = [each for each in self._by_alias.values() if each.source == name]
            return of_source[0] if len(of_source) == 1 else None
        if self._model is not None:
            return self._by_alias[self._model]
        if len(self._by_alias) > 1:
            raise UsageError(
                "Of which model? There are several, and none is named; name one with ",
                Option("model"),
                f": {', '.join(self._by_alias)}.",
            )
        return next(iter(self._by_alias.values()))


def _entries(connection: duckdb.DuckDBPyConnection) -> list[_Entry]:
    rows = connection.execute(
        "select model_id, alias, source, gated, n_layers, d_mlp, n_experts, d_expert, d_shared, "
        "d_dense, dense_layers from model order by alias"
    ).fetchall()
    return [
        _Entry(model_id, alias, source, gated, LayerSizes.of_entry(*sizes))
        for model_id, alias, source, gated, *sizes in rows
    ]


def _sorted(found: Iterable[Found], names: _Names) -> _Sorted:
    """Everything that a file has, by entry.

    Raises:
        UsageError: more than may be imported at once.
    """
    given = _Sorted()
    for batch in _batches(found):
        rows: dict[int, list[dict[str, Any]]] = {}
        for each in batch:
            given.n += 1
            if given.n > MOST_DESCRIPTIONS:
                raise UsageError(
                    f"The file has more than {MOST_DESCRIPTIONS:,} descriptions. Split it; nothing "
                    "was imported."
                )
            if isinstance(each, NotANeuron):
                _count(given.odd, each.name)
                continue
            given.n_characters += len(each.text)
            if given.n_characters > MOST_CHARACTERS:
                raise UsageError(
                    f"The descriptions of the file are longer than {MOST_CHARACTERS:,} characters "
                    "together. Split it; nothing was imported."
                )
            entry = names.named(each.model)
            if entry is None:
                _count(given.strangers, each.model or "")
                continue
            asked = NeuronId(each.layer, each.neuron, each.expert)
            try:
                at = asked.resolved(entry.sizes, entry.alias)
            except NotFoundError:
                _count(given.unknown, f"{asked} of {entry.alias}")
                continue
            found_at = replace(each, layer=at.layer, neuron=at.neuron)
            rows.setdefault(entry.model_id, []).append(_row(found_at, given.n))
        for model_id, of_entry in rows.items():
            made = pa.RecordBatch.from_pylist(of_entry, schema=_SCHEMA)
            given.batches.setdefault(model_id, []).append(made)
    return given


def _batches(found: Iterable[Found]) -> Iterator[Iterable[Found]]:
    items = iter(found)
    for first in items:
        yield chain([first], islice(items, _AT_ONCE - 1))


def _count(counter: Counter[str], name: str) -> None:
    """Count one; of many names only the first are kept, all others under ''."""
    name = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
    counter[name if name in counter or len(counter) <= _N_NAMED else ""] += 1


def _row(said: Description, place: int) -> dict[str, Any]:
    return {
        "layer": said.layer,
        "neuron": said.neuron,
        "sign_case": said.sign_case,
        "description": said.text,
        "explainer": said.explainer,
        "scorer": said.scorer,
        "score": said.score,
        "source": said.source,
        "source_key": said.source_key,
        "place": place,
    }


def _left_out(given: _Sorted) -> Iterator[str]:
    if given.unknown:
        yield f"{_of(given.unknown)} neurons that are not there: {_named(given.unknown)}."
    if given.strangers:
        yield f"{_of(given.strangers)} models that are not here: {_named(given.strangers)}."
    if given.odd:
        yield f"{_of(given.odd)} what is no MLP neuron: {_named(given.odd)}."


def _of(counter: Counter[str]) -> str:
    n = counter.total()
    return f"{n:,} description{' is' if n == 1 else 's are'} of"


def _named(counter: Counter[str]) -> str:
    more = ", and others" if "" in counter else ""
    return ", ".join([repr(name) for name in counter if name][:_N_NAMED]) + more
