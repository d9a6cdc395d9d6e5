"""Catalogs attached for reading to one connection, and a new one beside them to be filled."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from catalog.store.contents import check_columns, refuse_planted
from catalog.store.executing import without_pandas
from catalog.store.handle import Handle
from catalog.store.location import DEFAULT_WAIT_S
from catalog.store.new_files import appearing, spill_folder, unfinished_of
from catalog.store.opening import attach, explaining
from catalog.store.upgrading import ensure_catalog
from catalog.store.version import check_version, schema_version
from catalog.store.walls import lock, walled

TARGET: Final = "target"
"""Name of the new catalog among the attached ones."""

MEMORY_LIMIT: Final = "4GB"
"""For DuckDB, whose default is most of the machine's; what does not fit goes to the disk."""


@dataclass(frozen=True)
class Source:
    """A catalog that is attached for reading, by its position among those given."""

    at: int
    path: Path

    @property
    def name(self) -> str:
        """Its name in SQL."""
        return f"source_{self.at}"


@contextmanager
def attached(
    paths: Sequence[Path], target: Path, wait_s: float = DEFAULT_WAIT_S
) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[Source]]]:
    """A connection in memory with the catalogs attached read-only: nobody can write to them.

    It can make `target` (`new_catalog`) and open nothing else.

    Raises:
        SchemaOutdated, SchemaTooNew: one is of another version of the schema.
        DatabaseError: and what `catalog.store.opening.attach` raises.
    """
    sources = [Source(at, path) for at, path in enumerate(paths)]
    unfinished = unfinished_of(target)
    spill = spill_folder(unfinished)
    connection = walled([*paths, unfinished], spill, memory_limit=MEMORY_LIMIT)
    try:
        with without_pandas():
            for source in sources:
                attach(connection, source.path, source.name, read_only=True, wait_s=wait_s)
                with explaining(source.path):
                    refuse_planted(connection, source.path, source.name)
                    version = schema_version(connection, source.path, source.name)
                    check_version(version, source.path)
                    check_columns(connection, source.path, source.name)
            lock(connection)
            yield connection, sources
    finally:
        connection.close()


@contextmanager
def new_catalog(
    connection: duckdb.DuckDBPyConnection, target: Path, *, replacing: bool = False
) -> Iterator[None]:
    """A new catalog, attached as `TARGET`, that gets its name when the block ends well.

    `connection` is one of `attached`, for the same `target`.

    Raises:
        EnvironmentFault: the disk refused; nothing is left.
    """
    with appearing(target, replacing=replacing) as unfinished:
        ensure_catalog(Handle(unfinished))
        attach(connection, unfinished, TARGET, read_only=False)
        try:
            with explaining(unfinished):
                yield
                connection.execute(f"detach {TARGET}")
        except BaseException:
            with suppress(duckdb.Error):
                connection.execute(f"detach {TARGET}")
            raise


def used_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """Bytes that hold anything in the attached catalogs: what a copy will need at most."""
    row = connection.execute(
        "select coalesce(sum(block_size * used_blocks), 0) from pragma_database_size() "
        "where starts_with(database_name, 'source_')"
    ).fetchone()
    assert row is not None
    return int(row[0])
