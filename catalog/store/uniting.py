"""Entries of several catalogs as one: what each is taken from, and what stands against it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from catalog.store.entries import Entry, HeldCorpus, Run


@dataclass(frozen=True)
class United:
    """One entry of the new catalog, with the entry that gives each part of it.

    `neurons`: the rows about weights alone. Stages add columns to one table, so the entry that
    went through most of them has all columns.
    """

    first: Entry
    neurons: Entry
    vocabulary: Entry | None
    corpora: dict[str, Entry]


def united(entries: Sequence[Entry]) -> list[United]:
    """One for every alias, those ingested first before; the same in any order of `entries`."""
    found = [_united(same) for _, same in _by_alias(entries)]
    return sorted(found, key=lambda each: (each.first.ingested_at, each.first.alias))


def conflicts(entries: Sequence[Entry]) -> list[str]:
    """A sentence for each thing that two of the entries state differently."""
    said = []
    for _, same in _by_alias(entries):
        first, *others = same
        for other in others:
            if (first.fingerprint, first.weights) != (other.fingerprint, other.weights):
                said.append(_other_checkpoint(first, other))
        checkpoint = [each for each in same if _is_same(each, first)]
        said += [s for one, other in _pairs(checkpoint) for s in _differences(one, other)]
    return list(dict.fromkeys(said))


def _by_alias(entries: Sequence[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    # Of entries that agree the one that went farthest comes first, then the one made first.
    ordered = sorted(
        entries,
        key=lambda each: (
            each.alias,
            -len(each.without_corpus()),
            each.ingested_at,
            each.origin,
            len(each.finished()),
        ),
    )
    for alias, same in groupby(ordered, key=lambda each: each.alias):
        yield alias, list(same)


def _pairs(entries: Sequence[Entry]) -> Iterator[tuple[Entry, Entry]]:
    for at, one in enumerate(entries):
        for other in entries[at + 1 :]:
            yield one, other


def _is_same(one: Entry, other: Entry) -> bool:
    return (one.fingerprint, one.weights) == (other.fingerprint, other.weights)


def _united(same: list[Entry]) -> United:
    corpora: dict[str, Entry] = {}
    for digest in sorted({digest for each in same for digest in each.corpora}):
        holders = [each for each in same if digest in each.corpora]
        corpora[digest] = min(holders, key=lambda each: _when(each, digest))
    return United(
        first=min(same, key=lambda each: (each.ingested_at, each.origin)),
        neurons=same[0],
        vocabulary=next((each for each in same if each.vocabulary_id is not None), None),
        corpora=corpora,
    )


def _when(entry: Entry, digest: str) -> tuple[object, ...]:
    """Orders the holders of a corpus: the first to have finished it, and then by content."""
    run = entry.finished().get(("activations", digest))
    corpus = entry.corpora[digest]
    finished = "" if run is None else str(run.finished_at)
    return (run is None, finished, corpus.source, corpus.parameters)


def _differences(one: Entry, other: Entry) -> Iterator[str]:
    if one.vocabulary and other.vocabulary and one.vocabulary != other.vocabulary:
        yield (
            f"{one.alias}: {_where(one)} and {_where(other)} read it with other tokenizers. "
            f"{_advice(other, '--alias')}"
        )
    for mine in one.corpora.values():
        for theirs in other.corpora.values():
            if sentence := _corpus_difference(one, mine, other, theirs):
                yield sentence
    runs, other_runs = one.finished(), other.finished()
    for key in sorted(runs.keys() & other_runs.keys(), key=str):
        if sentence := _stage_difference(one, runs[key], other, other_runs[key]):
            yield sentence
    lacking = other.without_corpus().keys() - one.without_corpus().keys()
    if lacking:
        yield (
            f"{one.alias}: {_where(other)} has the stages {_listed(lacking)}, which "
            f"{_where(one)} has not, and lacks others that are there. "
            f"Ingest what is missing into one of them first."
        )


def _other_checkpoint(one: Entry, other: Entry) -> str:
    return (
        f"{one.alias} stands for two things: {one.origin} ({one.weights} weights) in "
        f"{_where(one)}, {other.origin} ({other.weights} weights) in {_where(other)}. "
        f"{_advice(other, '--alias')}"
    )


def _corpus_difference(
    one: Entry, mine: HeldCorpus, other: Entry, theirs: HeldCorpus
) -> str | None:
    if mine.name == theirs.name and mine.digest != theirs.digest:
        return (
            f"{one.alias}: the corpus {mine.name!r} is {mine.n_contexts:,} contexts of "
            f"{mine.source} in {_where(one)}, and {theirs.n_contexts:,} others of "
            f"{theirs.source} in {_where(other)}. "
            f"{_advice(other, '--corpus-name', f' --corpus {theirs.name}')}"
        )
    if mine.name != theirs.name and mine.digest == theirs.digest:
        return (
            f"{one.alias}: the same contexts are the corpus {mine.name!r} in {_where(one)} and "
            f"{theirs.name!r} in {_where(other)}. "
            f"{_advice(other, '--corpus-name', f' --corpus {theirs.name}')}"
        )
    return None


def _stage_difference(one: Entry, mine: Run, other: Entry, theirs: Run) -> str | None:
    on = f" on {one.corpora[mine.corpus].name}" if mine.corpus else ""
    drop = f" --corpus {other.corpora[theirs.corpus].name}" if theirs.corpus else ""
    what = f"{one.alias}: the stage {mine.stage}{on}"
    if differing := sorted(
        name
        for name in mine.parameters.keys() | theirs.parameters.keys()
        if mine.parameters.get(name) != theirs.parameters.get(name)
    ):
        how = " and ".join(
            f"{_where(each)} ({', '.join(f'{n} {run.parameters.get(n)}' for n in differing)})"
            for each, run in ((one, mine), (other, theirs))
        )
        return f"{what} was run otherwise in {how}. {_advice(other, '--alias', drop)}"
    if mine.rows is None or theirs.rows is None:
        bare = one if mine.rows is None else other
        return (
            f"{what} is in {_where(one)} and {_where(other)}, and cannot be compared: "
            f"{_where(bare)} has no digest of its rows. {_advice(other, '--alias', drop)}"
        )
    if tables := sorted(
        table
        for table in mine.rows.keys() | theirs.rows.keys()
        if mine.rows.get(table) != theirs.rows.get(table)
    ):
        return (
            f"{what} has other rows ({_listed(tables)}) in {_where(one)} than in "
            f"{_where(other)}. {_advice(other, '--alias', drop)}"
        )
    return None


def _advice(entry: Entry, option: str, drop: str = "") -> str:
    return (
        f"Drop one (catalog drop {entry.alias}{drop} --db {entry.held_in.path}), or ingest it "
        f"again with another {option}."
    )


def _where(entry: Entry) -> str:
    return str(entry.held_in.path)


def _listed(names: Iterator[str] | Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(names))
