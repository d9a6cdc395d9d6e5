"""Copying rows from catalogs into a new one: a piece at a time, in the order they are stored.

Lookups find a neuron by zone maps over (run_id, layer, neuron), so a run is copied whole before the
next, and a table's runs by ascending id. A piece goes in by layers, so memory is bounded.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from catalog.declaration import ROWS_PER_TRANSACTION
from catalog.errors import EnvironmentFault
from catalog.store.digests import digest_where
from catalog.store.executing import without_pandas
from catalog.store.handle import Handle
from catalog.store.new_files import appearing, spill_folder
from catalog.store.opening import DEFAULT_WAIT_S, attach, explaining
from catalog.store.upgrading import ensure_catalog
from catalog.store.version import check_version, schema_version
from catalog.store.walls import CONFIG, check_columns, check_kinds
from catalog.tables import table_named

TARGET: Final = "target"
"""Name of the new catalog among the attached ones."""

MEMORY_LIMIT: Final = "4GB"
"""For DuckDB, whose default is most of the machine's; what does not fit goes to the disk."""

Ids = Mapping[str, int | str | None]


@dataclass(frozen=True)
class Source:
    """A catalog that is attached for reading, under a name of our own."""

    name: str
    path: Path


@dataclass(frozen=True)
class Piece:
    """The rows of one table with these values, and the ids that they get in the new catalog."""

    source: Source
    table: str
    where: Ids
    renumbered: Ids = field(default_factory=dict)


@contextmanager
def attached(
    paths: Sequence[Path], wait_s: float = DEFAULT_WAIT_S
) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[Source]]]:
    """A connection in memory with the catalogs attached read-only: nobody can write to them.

    Raises:
        SchemaOutdated, SchemaTooNew: one is of another version of the schema.
        DatabaseError: and what `catalog.store.opening.attach` raises.
    """
    sources = [Source(f"source_{at}", path) for at, path in enumerate(paths)]
    connection = duckdb.connect(
        config=CONFIG | {"memory_limit": MEMORY_LIMIT, "temp_directory": ""}
    )
    try:
        with without_pandas():
            for source in sources:
                attach(connection, source.path, source.name, read_only=True, wait_s=wait_s)
                with explaining(source.path):
                    check_kinds(connection, source.path, source.name)
                    version = schema_version(connection, source.path, source.name)
                    check_version(version, source.path)
                    check_columns(connection, source.path, source.name)
            yield connection, sources
    finally:
        connection.close()


@contextmanager
def new_catalog(
    connection: duckdb.DuckDBPyConnection, target: Path, *, replacing: bool = False
) -> Iterator[None]:
    """A new catalog, attached as `TARGET`, that gets its name when the block ends well.

    Raises:
        EnvironmentFault: the disk refused; nothing is left.
    """
    with appearing(target, replacing=replacing) as unfinished:
        ensure_catalog(Handle(unfinished))
        spill = str(spill_folder(unfinished)).replace("'", "''")
        connection.execute(f"set temp_directory = '{spill}'")
        attach(connection, unfinished, TARGET, read_only=False)
        try:
            with explaining(unfinished):
                yield
                connection.execute(f"detach {TARGET}")
        except BaseException:
            with suppress(duckdb.Error):
                connection.execute(f"detach {TARGET}")
            raise


def fill(connection: duckdb.DuckDBPyConnection, pieces: Sequence[Piece]) -> None:
    """Copy the pieces into the new catalog, and compare each with its source.

    Raises:
        EnvironmentFault: the copy is not what was read.
    """
    connection.begin()
    try:
        n_rows = 0
        for piece in pieces:
            for n_copied in _copy(connection, piece):
                n_rows += n_copied
                if n_rows >= ROWS_PER_TRANSACTION:
                    connection.commit()
                    connection.begin()
                    n_rows = 0
        connection.commit()
    except BaseException:
        # A commit that failed, on a full disk say, has ended the transaction already.
        with suppress(duckdb.Error):
            connection.rollback()
        raise
    # Rows are compared as the checkpoint packed them, not as they came.
    connection.execute(f"checkpoint {TARGET}")
    columns = columns_by_table(connection)
    for piece in pieces:
        _compare(connection, piece, columns[piece.table])


def used_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """Bytes that hold anything in the attached catalogs: what a copy will need at most."""
    row = connection.execute(
        "select coalesce(sum(block_size * used_blocks), 0) from pragma_database_size() "
        "where starts_with(database_name, 'source_')"
    ).fetchone()
    assert row is not None
    return int(row[0])


def spans(
    connection: duckdb.DuckDBPyConnection, relation: str, condition: str, ids: Ids
) -> list[tuple[str, dict[str, int]]]:
    """Conditions that part rows by layers (contexts by ids), each with its bound values.

    A part takes a second or two, or is one layer if that takes longer.
    """
    table = table_named(relation.rpartition(".")[2])
    if table.parted_by is None:
        return [("true", {})]
    column, most = table.parted_by, table.at_once
    counts = connection.execute(
        f"select {column}, count(*) from {relation} where {condition} group by all order by all",
        dict(ids),
    ).fetchall()
    parts: list[list[int]] = []
    n_rows = most
    for at, n in counts:
        if n_rows + n > most:
            parts.append([at, at])
            n_rows = 0
        parts[-1][1] = at
        n_rows += n
    between = f"{column} between $first and $last"
    return [(between, {"first": first, "last": last}) for first, last in parts]


def columns_by_table(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Columns of every table of the new catalog, in order."""
    rows = connection.execute(
        "select table_name, list(column_name order by column_index) from duckdb_columns() "
        "where database_name = $1 group by all",
        [TARGET],
    ).fetchall()
    return dict(rows)


def _copy(connection: duckdb.DuckDBPyConnection, piece: Piece) -> Iterator[int]:
    """Copy a piece part by part; yields the number of rows of each."""
    relation = f"{piece.source.name}.{piece.table}"
    condition, ids = _condition(piece.where)
    new = [f"${name}_new::integer as {name}" for name in piece.renumbered]
    columns = f"* replace ({', '.join(new)})" if new else "*"
    new_ids = {f"{name}_new": value for name, value in piece.renumbered.items()}
    for part, bounds in spans(connection, relation, condition, ids):
        row = connection.execute(
            f"insert into {TARGET}.{piece.table} by name "
            f"select {columns} from {relation} where {condition} and {part}",
            {**new_ids, **ids, **bounds},
        ).fetchone()
        assert row is not None
        yield int(row[0])


def _compare(connection: duckdb.DuckDBPyConnection, piece: Piece, columns: Sequence[str]) -> None:
    kept = [name for name in columns if name not in piece.renumbered]
    read, written = (
        digest_where(connection, f"{database}.{piece.table}", kept, *_condition(ids))
        for database, ids in (
            (piece.source.name, piece.where),
            (TARGET, {**piece.where, **piece.renumbered}),
        )
    )
    if read != written:
        raise EnvironmentFault(
            f"The copy of {piece.table} from {piece.source.path} is not what was read: "
            f"{written.n_rows} rows of {read.n_rows}, or other values. Nothing was changed; run "
            "the same command again, and check the disk and the memory if it fails again."
        )


def _condition(ids: Ids) -> tuple[str, dict[str, int | str]]:
    """`column = $column` for every id; all rows without any."""
    terms = [
        f"{name} is null" if value is None else f"{name} = ${name}" for name, value in ids.items()
    ]
    given = {name: value for name, value in ids.items() if value is not None}
    return " and ".join(terms) or "true", given
