"""What catalogs state differently of one entry, so that they cannot become one."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import duckdb

from catalog.errors import Command, HintPart, Option
from catalog.store.attaching import Source
from catalog.store.copying import run_script

Conflict = tuple[HintPart, ...]
"""A sentence, and what to do about it."""

_Row = dict[str, Any]


def conflicts(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]) -> list[Conflict]:
    """A sentence for each thing that two of the planned entries state differently."""
    run_script(connection, "conflicts.sql")
    found = []
    for kind, (view, worded) in enumerate(_KINDS):
        result = connection.execute(f"from {view}")
        names = [column[0] for column in result.description or ()]
        for values in result.fetchall():
            row = dict(zip(names, values, strict=True))
            here, there = (sources[row[name]].path for name in ("held_in", "other_in"))
            row |= {"here": here, "there": there}
            order = (row["alias"], view != "other_checkpoints", row["places"], kind)
            found += [(order, conflict) for conflict in worded(row)]
    found.sort(key=lambda each: each[0])
    return list(dict.fromkeys(conflict for _, conflict in found))


def _checkpoint(row: _Row) -> Iterator[Conflict]:
    one, other = row["one"], row["other"]
    said = (
        f"{row['alias']} stands for two things: {one['origin']} ({one['weights']} weights) in "
        f"{row['here']}, {other['origin']} ({other['weights']} weights) in {row['there']}."
    )
    yield (said, *_advice(row, "alias"))


def _vocabulary(row: _Row) -> Iterator[Conflict]:
    said = f"{row['alias']}: {row['here']} and {row['there']} read it with other tokenizers."
    yield (said, *_advice(row, "alias"))


def _corpus(row: _Row) -> Iterator[Conflict]:
    one, other = row["one"], row["other"]
    if one["name"] == other["name"]:
        said = (
            f"{row['alias']}: the corpus {one['name']!r} is {one['n_contexts']:,} contexts of "
            f"{one['source']} in {row['here']}, and {other['n_contexts']:,} others of "
            f"{other['source']} in {row['there']}."
        )
    else:
        said = (
            f"{row['alias']}: the same contexts are the corpus {one['name']!r} in {row['here']} "
            f"and {other['name']!r} in {row['there']}."
        )
    yield (said, *_advice(row, "corpus_name", other["name"]))


def _stage(row: _Row) -> Iterator[Conflict]:
    on = f" on {row['corpus']}" if row["corpus"] else ""
    which = f" {row['subject']}" if row["subject"] else ""
    what = f"{row['alias']}: the stage {row['stage']}{which}{on}"
    here, there = row["here"], row["there"]
    asked = [json.loads(row[name]) for name in ("parameters", "other_parameters")]
    rows = [json.loads(row[name] or "null") for name in ("noted", "other_noted")]
    if differing := _differing(*asked):
        how = " and ".join(
            f"{path} ({', '.join(f'{name} {each.get(name)}' for name in differing)})"
            for path, each in zip((here, there), asked, strict=True)
        )
        said = f"{what} was run otherwise in {how}."
    elif None in rows:
        bare = here if rows[0] is None else there
        said = (
            f"{what} is in {here} and {there}, and cannot be compared: {bare} has no digest of its "
            "rows."
        )
    elif differing := _differing(*rows):
        said = f"{what} has other rows ({', '.join(differing)}) in {here} than in {there}."
    else:
        return
    if row["subject"]:
        drop = Command(
            "drop", options=(Option("ablation", row["subject"]), Option("db", str(there)))
        )
        yield (said, " Drop one: ", drop)
    else:
        yield (said, *_advice(row, "alias", row["other_corpus"]))


def _stages(row: _Row) -> Iterator[Conflict]:
    yield (
        f"{row['alias']}: {row['there']} has the stages {', '.join(row['stages'])}, which "
        f"{row['here']} has not, and lacks others that are there. Ingest what is missing into one "
        "of them first.",
    )


_KINDS: Final = (
    ("other_checkpoints", _checkpoint),
    ("other_vocabularies", _vocabulary),
    ("other_corpora", _corpus),
    ("same_stages", _stage),
    ("other_stages", _stages),
)
"""Views of conflicts.sql, and what words their rows."""


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _advice(row: _Row, option: str, corpus: str | None = None) -> Iterator[HintPart]:
    of_corpus = () if corpus is None else (Option("corpus", corpus),)
    drop = Command("drop", (row["alias"],), (*of_corpus, Option("db", str(row["there"]))))
    yield from (" Drop one (", drop, "), or ingest it again with another ", Option(option), ".")
