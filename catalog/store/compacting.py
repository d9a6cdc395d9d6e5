"""Rewriting a catalog without what nothing refers to, since a DuckDB file never shrinks.

DuckDB's COPY FROM DATABASE copies all rows, those of killed loads and drops too, in one
transaction; so rows are copied as by a merge, with a plan that keeps all numbers.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from catalog.errors import DatabaseError, DatabaseLocked
from catalog.store.attaching import TARGET, Source, attached, new_catalog, used_bytes
from catalog.store.contents import FILE
from catalog.store.copying import carry_seals, fill, hold, run_script
from catalog.store.handle import Handle
from catalog.store.new_files import log_of, require_space
from catalog.store.opening import check_path, explaining, missing
from catalog.store.staging import sole_ingest
from catalog.store.walls import open_writer
from catalog.tables import bulk_tables


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
    path = catalog.file
    if not path.exists():
        raise missing(path)
    check_path(path, read_only=False)
    # Where the name is a link, the file it leads to is replaced, not the link.
    file = path.resolve()
    with sole_ingest(catalog):
        _fold_log(catalog)
        before = file.stat().st_size
        with attached([path], file, catalog.wait_s) as (connection, sources):
            # From here on the file is held: DuckDB lets nobody write while we have it open.
            if _logs(path):
                raise DatabaseLocked(
                    f"Another program wrote to {path} just now. Run the same command again."
                )
            require_space(file.parent, used_bytes(connection))
            with new_catalog(connection, file, replacing=True):
                _refuse_others(connection, sources[0])
                hold(connection, sources)
                run_script(connection, "compacting.sql", bulk_tables=bulk_tables())
                fill(connection, sources)
                carry_seals(connection, all_tables=True)
    return Compacted(before, file.stat().st_size)


def _fold_log(catalog: Handle) -> None:
    """Bring a write-ahead log into the file; left behind, it would be applied to the new one."""
    path = catalog.file
    if _logs(path):
        with (
            explaining(path),
            closing(open_writer(path, catalog.wait_s)) as connection,
        ):
            connection.execute(f"force checkpoint {FILE}")
            # What is left of a log now is none that DuckDB can read, and nobody else has the file.
            for log in _logs(path):
                log.unlink(missing_ok=True)


def _logs(path: Path) -> list[Path]:
    return [log for log in (log_of(path), log_of(path.resolve())) if log.exists()]


def _refuse_others(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    """Refuse to lose what somebody else keeps in the file.

    Raises:
        DatabaseError: there are tables or views that a new catalog does not have.
    """
    names = "select schema_name || '.' || {0}_name from duckdb_{0}s() where database_name = $1"
    others = [
        name
        for kind in ("table", "view", "sequence")
        for (name,) in connection.execute(
            f"{names.format(kind)} except {names.format(kind).replace('$1', '$2')} order by all",
            [source.name, TARGET],
        ).fetchall()
    ]
    if others:
        named = ", ".join(name.removeprefix("main.") for name in others)
        raise DatabaseError(
            f"{source.path} holds what is not the catalog's and would be lost: {named}. Move it to "
            "a file of its own first; nothing was changed."
        )
