"""What an attached catalog holds of each entry: its runs, and the corpora and rows shown."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import duckdb

from catalog.errors import DatabaseError
from catalog.store.copying import Source
from catalog.tables import bulk_tables

UNFINISHED: Final = ("running", "loading")
KEPT: Final = ("finished", "superseded")
"""Status of the runs that go along: those whose rows are shown, and the record of earlier ones."""


@dataclass(frozen=True)
class Run:
    """A row of `ingest_run`; `corpus` is a digest, and `rows` what was noted of the rows loaded."""

    run_id: int
    stage: str
    corpus: str | None
    status: str
    started_at: datetime
    finished_at: datetime | None
    parameters: Mapping[str, Any]
    rows: Mapping[str, Any] | None


@dataclass(frozen=True)
class HeldCorpus:
    """A corpus whose exemplars are shown, as this entry knows it."""

    corpus_id: int
    digest: str
    name: str
    source: str
    parameters: str
    n_contexts: int


@dataclass(frozen=True)
class Entry:
    """One entry of one catalog.

    `corpora`: by digest. `current`: (bulk table, digest of the corpus, run_id) of the rows shown.
    """

    corpora: Mapping[str, HeldCorpus]
    runs: tuple[Run, ...]
    current: tuple[tuple[str, str | None, int], ...]
    held_in: Source
    model_id: int
    alias: str
    origin: str
    fingerprint: str
    weights: str
    ingested_at: datetime
    vocabulary_id: int | None
    vocabulary: str | None

    def finished(self) -> dict[tuple[str, str | None], Run]:
        """The finished run of each stage and corpus."""
        return {
            (run.stage, run.corpus): run
            for run in self.runs
            if run.status == "finished" and (run.corpus is None or run.corpus in self.corpora)
        }

    def without_corpus(self) -> dict[str, Run]:
        """The finished stages that are about weights alone."""
        return {stage: run for (stage, corpus), run in self.finished().items() if corpus is None}


def read_entries(connection: duckdb.DuckDBPyConnection, source: Source) -> list[Entry]:
    """All entries of an attached catalog, by alias.

    Raises:
        DatabaseError: a row refers to one that is not there, or holds no JSON where it should.
    """
    at = source.name
    digests = dict(connection.execute(f"select corpus_id, digest from {at}.corpus").fetchall())
    models = connection.execute(
        f"select model_id, alias, source || coalesce(' at revision ' || revision, ''), "
        f"fingerprint, weights, ingested_at, m.vocabulary_id, v.digest from {at}.model m "
        f"left join {at}.vocabulary v using (vocabulary_id) order by alias"
    ).fetchall()
    try:
        return [_entry(connection, source, model, digests) for model in models]
    except (KeyError, ValueError) as error:
        raise DatabaseError(
            f"{source.path} contradicts itself ({type(error).__name__}: {error}). Restore it from "
            "a copy, or ingest again."
        ) from error


def _entry(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    model: tuple[Any, ...],
    digests: Mapping[int, str],
) -> Entry:
    model_id, *stated = model
    runs = _runs(connection, source.name, model_id, digests)
    current = _current(connection, source.name, model_id, digests)
    if lost := {run_id for _, _, run_id in current} - {run.run_id for run in runs}:
        raise ValueError(f"no run {min(lost)}")
    corpora = _corpora(connection, source.name, model_id)
    return Entry(corpora, runs, current, source, model_id, *stated)


def _corpora(
    connection: duckdb.DuckDBPyConnection, at: str, model_id: int
) -> dict[str, HeldCorpus]:
    rows = connection.execute(
        f"select corpus_id, c.digest, mc.name, c.source, c.parameters, c.n_contexts "
        f"from {at}.corpus c join {at}.model_corpus mc using (corpus_id) "
        f"where mc.model_id = $1 and exists (from {at}.current_rows s "
        "where s.model_id = mc.model_id and s.corpus_id = mc.corpus_id) order by mc.name",
        [model_id],
    ).fetchall()
    return {row[1]: HeldCorpus(*row) for row in rows}


def _runs(
    connection: duckdb.DuckDBPyConnection, at: str, model_id: int, digests: Mapping[int, str]
) -> tuple[Run, ...]:
    rows = connection.execute(
        f"select run_id, stage, corpus_id, status, started_at, finished_at, parameters, notes "
        f"from {at}.ingest_run where model_id = $1 order by run_id",
        [model_id],
    ).fetchall()
    return tuple(
        Run(
            run_id,
            stage,
            None if corpus_id is None else digests[corpus_id],
            status,
            started_at,
            finished_at,
            _object(parameters),
            _object(notes).get("rows"),
        )
        for run_id, stage, corpus_id, status, started_at, finished_at, parameters, notes in rows
    )


def _current(
    connection: duckdb.DuckDBPyConnection, at: str, model_id: int, digests: Mapping[int, str]
) -> tuple[tuple[str, str | None, int], ...]:
    rows = connection.execute(
        f"select bulk_table, corpus_id, run_id from {at}.current_rows where model_id = $1 "
        "order by run_id, bulk_table",
        [model_id],
    ).fetchall()
    if unknown := {table for table, _, _ in rows} - set(bulk_tables()):
        raise ValueError(f"no table {min(unknown)}")
    return tuple(
        (table, None if corpus_id is None else digests[corpus_id], run_id)
        for table, corpus_id, run_id in rows
    )


def _object(text: str | None) -> dict[str, Any]:
    value = json.loads(text or "{}")
    if not isinstance(value, dict):
        raise ValueError("parameters or notes that are no JSON object")
    return value
