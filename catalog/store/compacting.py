"""Rewriting a catalog without what nothing refers to, since a DuckDB file never shrinks."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from catalog.errors import DatabaseError, DatabaseLocked
from catalog.store.copying import (
    TARGET,
    Piece,
    Source,
    attached,
    fill,
    new_catalog,
    used_bytes,
)
from catalog.store.handle import Handle
from catalog.store.new_files import log_of, require_space
from catalog.store.opening import check_path, explaining, missing
from catalog.store.staging import sole_ingest
from catalog.store.walls import open_writer
from catalog.tables import TABLES, bulk_tables

_OF_MODELS: Final = "model_id in (select model_id from {at}.model)"
_IN_USE: Final = "vocabulary_id in (select vocabulary_id from {at}.model)"
_KNOWN: Final = f"corpus_id in (select corpus_id from {{at}}.model_corpus where {_OF_MODELS})"
_KEPT: Final = {
    "model": ("model_id", "true"),
    "vocabulary": ("vocabulary_id", _IN_USE),
    "token": ("vocabulary_id", _IN_USE),
    "corpus": ("corpus_id", _KNOWN),
    "context": ("corpus_id", _KNOWN),
    "model_corpus": ("model_id", _OF_MODELS),
    "ingest_run": ("run_id", _OF_MODELS),
    "current_rows": ("model_id", _OF_MODELS),
}
"""By which id the rows of a small table are found, and which of them something refers to."""

_RUNS_KEPT: Final = f"""
select run_id from {{at}}.current_rows where bulk_table = '{{table}}' and {_OF_MODELS}
union all
select run_id from {{at}}.ingest_run where status in ('running', 'loading') and {_OF_MODELS}
"""


@dataclass(frozen=True)
class Compacted:
    """Size of the file, in bytes."""

    before: int
    after: int


def compact(catalog: Handle) -> Compacted:
    """Write what is referred to into a new file, compare it, and put it in the old one's place.

    Readers may go on reading the old file; until the new one has its name, nobody can write.
    Runs that may be resumed keep their rows.

    Raises:
        EnvironmentFault: too little space; the message says how much is missing.
        DatabaseLocked: an ingest is at work, or another program writes.
        DatabaseError: it is no catalog of this version, or holds tables of somebody else.
    """
    path, wait_s = catalog.file, catalog.wait_s
    if not path.exists():
        raise missing(path)
    check_path(path, read_only=False)
    # Where the name is a link, the file it leads to is replaced, not the link.
    file = path.resolve()
    with sole_ingest(catalog):
        _fold_log(path, wait_s)
        before = file.stat().st_size
        with attached([path], wait_s) as (connection, (source,)):
            # From here on the file is held: DuckDB lets nobody write while we have it open.
            if _logs(path):
                raise DatabaseLocked(
                    f"Another program wrote to {catalog} just now. Run the same command again."
                )
            require_space(file.parent, used_bytes(connection))
            with new_catalog(connection, file, replacing=True):
                _refuse_others(connection, source)
                fill(connection, list(_pieces(connection, source)))
    return Compacted(before, file.stat().st_size)


def _fold_log(catalog: Path, wait_s: float) -> None:
    """Bring a write-ahead log into the file; left behind, it would be applied to the new one."""
    if _logs(catalog):
        with explaining(catalog), closing(open_writer(catalog, wait_s)) as connection:
            connection.execute("force checkpoint")


def _logs(catalog: Path) -> list[Path]:
    return [log for log in (log_of(catalog), log_of(catalog.resolve())) if log.exists()]


def _pieces(connection: duckdb.DuckDBPyConnection, source: Source) -> Iterator[Piece]:
    """All that is kept: a table at a time, each parted by the id that its rows are found by."""
    for table in [each.name for each in TABLES if each.owner != "program"]:
        if table in bulk_tables():
            column, kept = "run_id", f"run_id in ({_RUNS_KEPT})"
        else:
            column, kept = _KEPT[table]
        ids = connection.execute(
            f"select distinct {column} from {source.name}.{table} "
            f"where {kept.format(at=source.name, table=table)} order by all"
        ).fetchall()
        for (value,) in ids:
            yield Piece(source, table, {column: value})


def _refuse_others(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    """Refuse to lose what somebody else keeps in the file.

    Raises:
        DatabaseError: there are tables or views that a new catalog does not have.
    """
    names = "select {0}_name from duckdb_{0}s() where database_name = $1"
    others = [
        name
        for kind in ("table", "view", "sequence")
        for (name,) in connection.execute(
            f"{names.format(kind)} except {names.format(kind).replace('$1', '$2')} order by all",
            [source.name, TARGET],
        ).fetchall()
    ]
    if others:
        raise DatabaseError(
            f"{source.path} holds what is not the catalog's and would be lost: "
            f"{', '.join(others)}. Move it to a file of its own first; nothing was changed."
        )
