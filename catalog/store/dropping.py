"""Taking an entry, or a corpus or an ablation of it, out of a catalog, in short transactions.

The first transaction hides all of it: rows are no longer current, and its runs belong to no model.
They keep their rows until these are deleted, so a drop that was killed is completed by the next one
(or by `catalog compact`), and no new run gets the number of one whose rows are still there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from catalog.declaration import ROWS_PER_TRANSACTION
from catalog.errors import NotFoundError, Option, UsageError
from catalog.stages import ABLATION, DRIFT, RUN_KINDS
from catalog.store.copying import spans
from catalog.store.descriptions import written_by_hand
from catalog.store.handle import Handle
from catalog.store.opening import check_path, explaining
from catalog.store.sealing import forget_entry
from catalog.store.staging import Staging, folder_name, sole_ingest, staging_root
from catalog.tables import bulk_tables, table_named

NO_MODEL: Final = 0
"""The model of runs whose rows are being deleted; ids of models begin at 1."""

_UNREFERENCED: Final = (
    "delete from token where vocabulary_id not in "
    "(select vocabulary_id from model where vocabulary_id is not null)",
    "delete from vocabulary where vocabulary_id not in "
    "(select vocabulary_id from model where vocabulary_id is not null)",
    "delete from context where corpus_id not in (select corpus_id from model_corpus)",
    "delete from corpus where corpus_id not in (select corpus_id from model_corpus)",
)


_DRIFTS_FROM: Final = """
    select r.model_id, r.subject
    from model gone
    join model other on other.series = gone.series
    join ingest_run r on r.model_id = other.model_id and r.subject = gone.step::varchar
    where gone.model_id = $1 and r.stage = $2
    order by r.run_id
"""
"""Runs that compare other steps of a series with the one that goes."""


@dataclass(frozen=True)
class Drop:
    """What is to be dropped: an entry, or of it one corpus, or one ablation. `stages`: what it has
    finished. `n_written`: descriptions written by hand, which no file brings back.

    `model_id` is None where a drop that was killed had hidden all of it.
    """

    catalog: Handle
    model: str | None
    corpus: str | None
    ablation: str | None
    model_id: int | None
    corpus_id: int | None
    stages: tuple[str, ...]
    n_written: int = 0


def find_drop(
    catalog: Handle,
    model: str | None = None,
    corpus: str | None = None,
    ablation: str | None = None,
) -> Drop:
    """What a drop would take; nothing is changed yet. An ablation needs no model.

    Raises:
        UsageError: neither a model nor an ablation is named, or an ablation and a corpus.
        NotFoundError: no such model, or it has no such corpus or ablation; the message says what
            there is.
    """
    check_path(catalog.file, read_only=True)
    if ablation is not None:
        if corpus is not None:
            raise UsageError("An ablation is of one corpus.", "Leave out ", Option("corpus"), ".")
        return _find_ablation(catalog, model, ablation)
    if model is None:
        raise UsageError("What is to be dropped? Name a model, or an ", Option("ablation"), ".")
    with catalog.tables("") as connection, explaining(catalog.file):
        models = dict(
            connection.execute("select alias, model_id from model order by alias").fetchall()
        )
        model_id = models.get(model)
        corpora = {} if model_id is None else _corpora(connection, model_id)
        gone = model_id is None or (corpus is not None and corpus not in corpora)
        if gone and _hidden_runs(connection):
            return Drop(catalog, model, corpus, None, None, None, ())
        if model_id is None:
            raise NotFoundError(f"{catalog} holds no model {model!r}. {_there_is(models)}")
        if gone:
            raise NotFoundError(f"{model} has no corpus {corpus!r}. {_there_is(corpora)}")
        corpus_id = None if corpus is None else corpora[corpus]
        rows = connection.execute(
            "select distinct stage from ingest_run where model_id = $1 and status = 'finished' "
            "and ($2 is null or corpus_id = $2) order by stage",
            [model_id, corpus_id],
        ).fetchall()
        n_written = 0 if corpus is not None else written_by_hand(connection, model_id)
    stages = tuple(row[0] for row in rows)
    return Drop(catalog, model, corpus, None, model_id, corpus_id, stages, n_written)


def _find_ablation(catalog: Handle, model: str | None, ablation: str) -> Drop:
    with catalog.tables("") as connection, explaining(catalog.file):
        rows = connection.execute(
            "select r.subject, m.alias, m.model_id, r.corpus_id from ingest_run r "
            "join model m using (model_id) where r.stage = $1 and r.subject is not null "
            "and ($2 is null or m.alias = $2) and r.status != 'superseded' order by r.run_id",
            [ABLATION.name, model],
        ).fetchall()
        for found, alias, model_id, corpus_id in rows:
            if found == ablation:
                stages = (f"{ABLATION.name} {ablation}",)
                return Drop(catalog, alias, None, ablation, model_id, corpus_id, stages)
        if _hidden_runs(connection):
            return Drop(catalog, model, None, ablation, None, None, ())
    there = dict.fromkeys((row[0] for row in rows), 0)
    of = "" if model is None else f" of {model}"
    raise NotFoundError(f"{catalog} holds no ablation {ablation!r}{of}. {_there_is(there)}")


def drop(found: Drop) -> None:
    """Hide all of it at once, then delete its rows and what only it referred to.

    Raises:
        DatabaseLocked: an ingest is at work, or others kept the file open; what was begun is
            completed when the drop is run again.
    """
    with sole_ingest(found.catalog):
        # Ids may have changed hands while the user was asked.
        found = find_drop(found.catalog, found.model, found.corpus, found.ablation)
        if found.model_id is not None:
            with found.catalog.writing() as connection:
                if found.ablation is None:
                    _hide(connection, found.model_id, found.corpus_id)
                else:
                    _hide_runs(connection, found.model_id, ABLATION.name, found.ablation)
        if found.model is not None:
            _forget_staged(found)
        _delete_hidden(found.catalog)
        with found.catalog.writing() as connection:
            connection.execute("delete from ingest_run where model_id = $1", [NO_MODEL])
            for statement in _UNREFERENCED:
                connection.execute(statement)


def drop_runs(catalog: Handle, model_id: int, stages: Sequence[str]) -> None:
    """Drop all that some stages gave an entry; for who holds off other ingests already."""
    with catalog.writing() as connection:
        for stage in stages:
            _hide_runs(connection, model_id, stage, None)
    _delete_hidden(catalog)
    with catalog.writing() as connection:
        connection.execute("delete from ingest_run where model_id = $1", [NO_MODEL])


def _hide(connection: duckdb.DuckDBPyConnection, model_id: int, corpus_id: int | None) -> None:
    key = [model_id, corpus_id]
    if corpus_id is None:
        for other_id, step in connection.execute(_DRIFTS_FROM, [model_id, DRIFT.name]).fetchall():
            _hide_runs(connection, other_id, DRIFT.name, step)
    for table in ("current_rows", "model_corpus"):
        connection.execute(
            f"delete from {table} where model_id = $1 and ($2 is null or corpus_id = $2)", key
        )
    if corpus_id is None:
        connection.execute("delete from model where model_id = $1", [model_id])
        forget_entry(connection, model_id)
    connection.execute(
        "update ingest_run set model_id = $3, corpus_id = null, status = 'abandoned' "
        "where model_id = $1 and ($2 is null or corpus_id = $2)",
        [*key, NO_MODEL],
    )


def _hide_runs(
    connection: duckdb.DuckDBPyConnection, model_id: int, stage: str, subject: str | None
) -> None:
    """Hide the runs of a stage, or of one of its several results."""
    runs = (
        "select run_id from ingest_run where model_id = $1 and stage = $2 "
        "and ($3 is null or subject = $3)"
    )
    connection.execute(
        f"delete from current_rows where run_id in ({runs})", [model_id, stage, subject]
    )
    connection.execute(
        "update ingest_run set model_id = $4, corpus_id = null, status = 'abandoned' "
        "where model_id = $1 and stage = $2 and ($3 is null or subject = $3)",
        [model_id, stage, subject, NO_MODEL],
    )


def _hidden_runs(connection: duckdb.DuckDBPyConnection) -> list[int]:
    rows = connection.execute(
        "select run_id from ingest_run where model_id = $1 order by run_id", [NO_MODEL]
    ).fetchall()
    return [run_id for (run_id,) in rows]


def _delete_hidden(catalog: Handle) -> None:
    """Delete rows of hidden runs, a few million in a transaction."""
    with catalog.tables("") as connection, explaining(catalog.file):
        parts = [
            (table, condition, {"run_id": run_id, **bounds})
            for run_id in _hidden_runs(connection)
            for table in bulk_tables()
            for condition, bounds in spans(
                connection, table_named(table), table, "run_id = $run_id", {"run_id": run_id}
            )
        ]
    while parts:
        with catalog.writing() as connection:
            n_rows = 0
            while parts and n_rows < ROWS_PER_TRANSACTION:
                table, condition, ids = parts.pop(0)
                row = connection.execute(
                    f"delete from {table} where run_id = $run_id and {condition}", ids
                ).fetchone()
                assert row is not None
                n_rows += row[0]


def _corpora(connection: duckdb.DuckDBPyConnection, model_id: int) -> dict[str, int]:
    return dict(
        connection.execute(
            "select name, corpus_id from model_corpus where model_id = $1 order by name", [model_id]
        ).fetchall()
    )


def _forget_staged(found: Drop) -> None:
    """Remove what interrupted ingests of it staged."""
    assert found.model is not None
    root = staging_root(found.catalog.file)
    if found.ablation is not None:
        _discard(root / folder_name(found.model), (f"{ABLATION.name}-{found.ablation}",))
        return
    if found.corpus is None:
        _discard(root / folder_name(found.model), [stage.name for stage in RUN_KINDS])
        return
    with found.catalog.tables("") as connection, explaining(found.catalog.file):
        known = connection.execute(
            "select 1 from model_corpus where name = $1", [found.corpus]
        ).fetchone()
        unfinished = connection.execute(
            "select distinct stage from ingest_run where model_id = $1 "
            "and status in ('running', 'loading') order by stage",
            [found.model_id],
        ).fetchall()
    of_corpora = {each.name for each in RUN_KINDS if each.of_corpus}
    for stage in sorted(of_corpora - {stage for (stage,) in unfinished}):
        _discard(root / folder_name(found.model), (stage,))
    if known is None:
        Staging(root / "corpora" / folder_name(found.corpus)).discard()


def _discard(staged: Path, stages: Sequence[str]) -> None:
    for stage in stages:
        for folder in staged.glob(f"{stage}-*"):
            Staging(folder).discard()


def _there_is(names: dict[str, int]) -> str:
    return f"There is: {', '.join(names)}." if names else "There is none."
