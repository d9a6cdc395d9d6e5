"""Catalogs into a new one: several merged, or some entries of one, with all that they refer to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from catalog.errors import MergeConflict, MismatchError, NotFoundError, UsageError
from catalog.store.copying import (
    TARGET,
    Piece,
    Source,
    attached,
    columns_by_table,
    fill,
    new_catalog,
    used_bytes,
)
from catalog.store.digests import rows_digest
from catalog.store.entries import KEPT, UNFINISHED, Entry, Run, read_entries
from catalog.store.handle import Handle
from catalog.store.new_files import refuse_existing, require_space
from catalog.store.opening import DEFAULT_WAIT_S, explaining
from catalog.store.staging import sole_ingest
from catalog.store.uniting import United, conflicts, united
from catalog.tables import bulk_tables


@dataclass(frozen=True)
class Combined:
    """What a new catalog holds.

    `aliases`: its entries. `left_behind`: a sentence for each run of theirs that was not finished.
    `n_bytes`: size of the file.
    """

    aliases: tuple[str, ...]
    left_behind: tuple[str, ...]
    n_bytes: int


def merge(sources: Sequence[Path], target: Path, wait_s: float = DEFAULT_WAIT_S) -> Combined:
    """Make `target` of all entries of the catalogs; the same entry in several becomes one.

    Only rows that are shown are copied, with their runs. Models, runs, corpora and vocabularies
    get new ids; what has the same digest is stored once.

    Raises:
        MergeConflict: they state different things of an entry; all of it is named.
        UsageError: a catalog was named twice.
        MismatchError: rows of a catalog are not those that were loaded into it.
        DatabaseError: `target` exists, or a source cannot be read.
        EnvironmentFault: no space or permission; nothing is left behind.
    """
    if len({path.resolve() for path in sources}) < len(sources):
        raise UsageError("A catalog was named twice. Name each once.")
    return _combine(sources, target, None, wait_s)


def copy_entries(source: Handle, target: Path, aliases: Sequence[str]) -> Combined:
    """Make `target` of some entries of a catalog and all that they refer to.

    Raises:
        NotFoundError: the catalog has no entry of an alias.
        MismatchError, DatabaseError, EnvironmentFault: as `merge`.
    """
    return _combine([source.file], target, aliases, source.wait_s)


def _combine(
    paths: Sequence[Path], target: Path, aliases: Sequence[str] | None, wait_s: float
) -> Combined:
    refuse_existing(target)
    with attached(paths, wait_s) as (connection, sources):
        entries = _chosen(_entries(connection, sources), aliases, paths)
        if found := conflicts(entries):
            listed = "".join(f"\n  - {each}" for each in found)
            raise MergeConflict(f"These catalogs do not go together; nothing was written.{listed}")
        if aliases is None:
            require_space(target.parent, used_bytes(connection))
        plan = _Plan(united(entries))
        with sole_ingest(Handle(target, wait_s)), new_catalog(connection, target):
            fill(connection, plan.pieces)
            _check_noted(connection, plan)
    return Combined(
        tuple(sorted(each.first.alias for each in plan.entries)),
        tuple(_left_behind(entries)),
        target.stat().st_size,
    )


def _entries(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]) -> list[Entry]:
    entries = []
    for source in sources:
        with explaining(source.path):
            entries += read_entries(connection, source)
    return entries


def _chosen(
    entries: list[Entry], aliases: Sequence[str] | None, paths: Sequence[Path]
) -> list[Entry]:
    if aliases is None:
        return entries
    there = {entry.alias for entry in entries}
    if unknown := [alias for alias in aliases if alias not in there]:
        raise NotFoundError(
            f"{paths[0]} holds no model {', '.join(map(repr, unknown))}. "
            f"There is: {', '.join(sorted(there)) or 'none'}."
        )
    return [entry for entry in entries if entry.alias in aliases]


class _Plan:
    """The pieces of a new catalog, in the order in which they are copied."""

    def __init__(self, entries: Sequence[United]) -> None:
        self.entries = entries
        self.runs: dict[tuple[Source, int], int] = {}
        self.corpora: dict[str, int] = {}
        self.vocabularies: dict[str, int] = {}
        self.small: list[Piece] = []
        self.bulk: dict[str, list[tuple[int, Piece]]] = {table: [] for table in bulk_tables()}
        for corpus in self._corpora():
            self._add_corpus(corpus)
        for at, entry in enumerate(entries):
            self._add_entry(at + 1, entry)

    @property
    def pieces(self) -> list[Piece]:
        """Small tables first; then each bulk table's runs by ascending id."""
        bulk = [
            piece
            for table in bulk_tables()
            for _, piece in sorted(self.bulk[table], key=lambda numbered: numbered[0])
        ]
        return self.small + bulk

    def _corpora(self) -> list[tuple[str, Entry]]:
        """Every corpus with the entry whose contexts are taken: models may share one."""
        holders: dict[str, Entry] = {}
        for entry in self.entries:
            for digest, holder in entry.corpora.items():
                known = holders.setdefault(digest, holder)
                if _origin(holder, digest) < _origin(known, digest):
                    holders[digest] = holder
        return sorted(holders.items())

    def _add_corpus(self, corpus: tuple[str, Entry]) -> None:
        digest, holder = corpus
        new = self.corpora[digest] = len(self.corpora) + 1
        where = {"corpus_id": holder.corpora[digest].corpus_id}
        for table in ("corpus", "context"):
            self.small.append(Piece(holder.held_in, table, where, {"corpus_id": new}))

    def _add_vocabulary(self, holder: Entry) -> int:
        assert holder.vocabulary is not None
        if holder.vocabulary not in self.vocabularies:
            new = self.vocabularies[holder.vocabulary] = len(self.vocabularies) + 1
            where = {"vocabulary_id": holder.vocabulary_id}
            for table in ("vocabulary", "token"):
                self.small.append(Piece(holder.held_in, table, where, {"vocabulary_id": new}))
        return self.vocabularies[holder.vocabulary]

    def _add_entry(self, model_id: int, entry: United) -> None:
        first = entry.first
        vocabulary = None if entry.vocabulary is None else self._add_vocabulary(entry.vocabulary)
        new_ids = {"model_id": model_id, "vocabulary_id": vocabulary}
        self.small.append(Piece(first.held_in, "model", {"model_id": first.model_id}, new_ids))
        for digest, holder in entry.corpora.items():
            ids = {"model_id": holder.model_id, "corpus_id": holder.corpora[digest].corpus_id}
            known = {"model_id": model_id, "corpus_id": self.corpora[digest]}
            self.small.append(Piece(holder.held_in, "model_corpus", ids, known))
        parts = [(None, entry.neurons), *entry.corpora.items()]
        runs = [(run, holder) for corpus, holder in parts for run in _kept(holder, corpus)]
        for run, holder in sorted(runs, key=lambda each: (each[0].started_at, each[0].stage)):
            self._add_run(model_id, run, holder)
        for corpus, holder in parts:
            for table, of, run_id in holder.current:
                if of == corpus:
                    self._add_rows(model_id, table, corpus, run_id, holder)

    def _add_run(self, model_id: int, run: Run, holder: Entry) -> None:
        new = self.runs[holder.held_in, run.run_id] = len(self.runs) + 1
        corpus = None if run.corpus is None else self.corpora[run.corpus]
        self.small.append(
            Piece(
                holder.held_in,
                "ingest_run",
                {"run_id": run.run_id},
                {"run_id": new, "model_id": model_id, "corpus_id": corpus},
            )
        )

    def _add_rows(
        self, model_id: int, table: str, corpus: str | None, run_id: int, holder: Entry
    ) -> None:
        new = self.runs[holder.held_in, run_id]
        held = None if corpus is None else holder.corpora[corpus].corpus_id
        now = None if corpus is None else self.corpora[corpus]
        self.small.append(
            Piece(
                holder.held_in,
                "current_rows",
                {"bulk_table": table, "model_id": holder.model_id, "corpus_id": held},
                {"model_id": model_id, "corpus_id": now, "run_id": new},
            )
        )
        piece = Piece(holder.held_in, table, {"run_id": run_id}, {"run_id": new})
        self.bulk[table].append((new, piece))


def _kept(entry: Entry, corpus: str | None) -> list[Run]:
    shown = {run_id for _, _, run_id in entry.current}
    return [
        run
        for run in entry.runs
        if run.corpus == corpus and (run.status in KEPT or run.run_id in shown)
    ]


def _origin(entry: Entry, digest: str) -> tuple[str, str]:
    corpus = entry.corpora[digest]
    return (corpus.source, corpus.parameters)


def _check_noted(connection: duckdb.DuckDBPyConnection, plan: _Plan) -> None:
    """Compare the copied rows with what each stage noted of them when it loaded them.

    Raises:
        MismatchError: they differ, so they did in the source.
    """
    columns = columns_by_table(connection)
    for entry in plan.entries:
        for corpus, holder in [(None, entry.neurons), *entry.corpora.items()]:
            current = {table: run_id for table, of, run_id in holder.current if of == corpus}
            for run in holder.finished().values():
                for table, noted in (run.rows or {}).items():
                    if run.corpus != corpus or table not in current:
                        continue
                    new = plan.runs[holder.held_in, current[table]]
                    if not _agrees(connection, table, new, noted, columns[table]):
                        raise MismatchError(
                            f"{holder.held_in.path} does not hold what stage {run.stage} of "
                            f"{holder.alias} loaded into {table}; nothing was written. See "
                            f"catalog verify {holder.alias} --db {holder.held_in.path}, and redo "
                            "the stage with catalog ingest --force."
                        )


def _agrees(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    run_id: int,
    noted: Mapping[str, Any],
    there: Sequence[str],
) -> bool:
    columns = noted.get("columns")
    # Notes may have been written by anyone, and names of columns become part of the SQL.
    if not columns or not set(columns) <= set(there):
        return False
    found = rows_digest(connection, f"{TARGET}.{table}", run_id, columns)
    return list(found) == [noted.get("n_rows"), noted.get("digest")]


def _left_behind(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        for run in entry.runs:
            if run.status in UNFINISHED:
                yield (
                    f"{entry.alias}: stage {run.stage} in {entry.held_in.path} is not finished "
                    "and was left behind"
                )
