"""Reading a catalog: open read-only, fetch Arrow, close. duckdb alone is imported here."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from catalog.errors import DatabaseError, SqlError
from catalog.formats.cells import JSON_METADATA
from catalog.store.contents import FILE, check_columns
from catalog.store.executing import interruptibly, without_pandas
from catalog.store.guard import Guard
from catalog.store.limits import Limits, limited
from catalog.store.location import DEFAULT_WAIT_S, Location
from catalog.store.opening import explained, explaining
from catalog.store.reader_views import ABOUT_NAMES, make_comments, make_views
from catalog.store.statements import checked_statement
from catalog.store.version import check_version, schema_version
from catalog.store.walls import open_reader

if TYPE_CHECKING:
    import pyarrow as pa

_RESERVED_CELLS: Final = 1 << 23
"""Of a batch: a million rows of eight columns."""

Parameters = Sequence[object] | Mapping[str, object]


@contextmanager
def reading(
    path: Location,
    wait_s: float = DEFAULT_WAIT_S,
    *,
    beneath: bool = False,
    named_in: str | None = None,
    limits: Limits | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the catalog, a file or a lake, closed at the end of the block.

    It answers the public views, or of them those `named_in` a text; with `beneath` (files alone)
    also the tables beneath them. `limits` begin when it is open: waiting for another process has
    a timeout of its own.

    Raises:
        SchemaOutdated, SchemaTooNew: the catalog is of another version of the schema.
        DatabaseError: and what `catalog.store.opening.attach` raises.
    """
    with (
        opened(path, wait_s, beneath=beneath, named_in=named_in, limits=limits) as connection,
        limited(connection, limits) if limits else nullcontext(),
    ):
        yield connection


@contextmanager
def opened(
    path: Location,
    wait_s: float = DEFAULT_WAIT_S,
    *,
    beneath: bool = False,
    named_in: str | None = None,
    limits: Limits | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same, of whose `limits` those of time do not begin, but for a lake's files."""
    config = limits.config if limits else None
    if isinstance(path, str) or path.is_dir():
        from catalog.store.lake.opening import reading_lake

        with reading_lake(path, config, limits.seconds if limits else None) as lake:
            yield lake
        return
    # Who sets limits serves many at once, whose connections close beside each other.
    guard = Guard() if limits else None
    try:
        with closing(
            open_reader(path, wait_s, beneath=beneath, settings=config, guard=guard)
        ) as connection:
            with explaining(path):
                _check(connection, path)
                make_views(connection, named_in)
            yield connection
    finally:
        if guard is not None:
            guard.release()


def _check(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse an attached file that is no catalog of this version.

    A process that opens the same file again and again checks it once: what it found holds until
    the file is written to or replaced.
    """
    now = file_state(path)
    if _checked.get(path) == now:
        return
    check_version(schema_version(connection, path), path)
    check_columns(connection, path, FILE)
    _checked[path] = now


_checked: dict[Path, tuple[int, ...]] = {}
"""What was checked last, by path."""


def file_state(path: Path) -> tuple[int, ...]:
    """Numbers that change when the file, or its log, is written to or replaced."""
    state: list[int] = []
    for each in (path, path.with_name(path.name + ".wal")):
        try:
            stat = each.stat()
        except OSError:
            state.append(0)
            continue
        state += [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    return tuple(state)


def fetch(
    path: Location,
    sql: str,
    parameters: Parameters = (),
    wait_s: float = DEFAULT_WAIT_S,
    max_rows: int | None = None,
) -> "pa.Table":
    """Run one query of the catalog's own and return its rows, at most `max_rows` of them."""
    with reading(path, wait_s, named_in=sql) as connection:
        return run_query(connection, sql, parameters, path, max_rows)


def fetch_checked(
    path: Location,
    sql: str,
    parameters: Parameters = (),
    wait_s: float = DEFAULT_WAIT_S,
    max_rows: int | None = None,
) -> "pa.Table":
    """Run one query of a user's, if it only reads, and return its rows.

    Raises:
        SqlError: the SQL is wrong or not of the kind that is let through.
    """
    with reading(path, wait_s, named_in=sql) as connection:
        return run_checked(connection, sql, parameters, path, max_rows)


def run_checked(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Parameters,
    path: Location,
    max_rows: int | None = None,
) -> "pa.Table":
    """The rows of a user's query, if it only reads; raises as `fetch_checked`."""
    _require_unicode([sql])
    if "\0" in sql:
        raise SqlError(
            f"The SQL has a NUL character, after {sql.index(chr(0)):,} others: DuckDB would read "
            "no further. Take it out; in a text write chr(0)."
        )
    with without_pandas():
        checked = interruptibly(connection, lambda: checked_statement(connection, sql))
    if ABOUT_NAMES.search(sql):
        make_comments(connection)
    try:
        return run_query(connection, checked, parameters, path, max_rows, own=False)
    except SqlError as error:
        lake = isinstance(path, str) or path.is_dir()
        if lake or not isinstance(error.__cause__, duckdb.CatalogException):
            raise
        # DuckDB says which names come near, so all must be there.
        make_views(connection)
        return run_query(connection, checked, parameters, path, max_rows, own=False)


def run_query(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Parameters,
    path: Location,
    max_rows: int | None = None,
    *,
    own: bool = True,
) -> "pa.Table":
    """The rows of `sql`, the catalog's `own` or a user's, as Arrow; errors become the catalog's."""
    _require_unicode(parameters)

    def rows() -> "pa.Table":
        result = connection.execute(sql, parameters)
        kinds = [str(kind) for _, kind, *_ in result.description or ()]
        # DuckDB reserves a whole batch for every column before the first row is there.
        batch = max(1, _RESERVED_CELLS // max(1, len(kinds)))
        found = (
            result.to_arrow_table(batch)
            if max_rows is None
            else _first_rows(result, max_rows, batch)
        )
        return _named_apart(_marked(found, kinds))

    with _explaining_queries(path, own), without_pandas():
        return interruptibly(connection, rows)


def run_for_dicts(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters, path: Location
) -> list[dict[str, Any]]:
    """The rows of `sql` as dictionaries: for a few rows, without the time to import Arrow."""
    _require_unicode(parameters)
    with _explaining_queries(path, own=True), without_pandas():
        result = connection.execute(sql, parameters)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _require_unicode(parameters: Parameters) -> None:
    """Refuse text with bytes of another encoding, for which DuckDB has no error of its own."""
    values = parameters.values() if isinstance(parameters, Mapping) else parameters
    for value in values:
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            raise SqlError(f"{value!r} is no valid Unicode text.") from error


@contextmanager
def _explaining_queries(path: Location, own: bool) -> Iterator[None]:
    try:
        yield
    except duckdb.InterruptException:
        raise
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        if not own:
            raise SqlError(str(error)) from error
        raise DatabaseError(
            f"{path} lacks what every catalog has ({str(error).splitlines()[0]}). Restore it from "
            "a copy, or move it away and ingest again."
        ) from error
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.FatalException) as error:
        raise explained(error, path) from error
    except duckdb.Error as error:
        raise SqlError(str(error)) from error


def _marked(rows: "pa.Table", kinds: Sequence[str]) -> "pa.Table":
    """Fields of JSON say so in their metadata; Arrow has texts there."""
    if "JSON" not in kinds:
        return rows
    import pyarrow as pa

    marks = [JSON_METADATA if kind == "JSON" else None for kind in kinds]
    fields = [
        field.with_metadata(mark) if mark else field
        for field, mark in zip(rows.schema, marks, strict=True)
    ]
    return pa.Table.from_arrays(rows.columns, schema=pa.schema(fields))


def _named_apart(rows: "pa.Table") -> "pa.Table":
    """Columns of one name get numbers, as DuckDB numbers them: rows become records by name."""
    if len(set(rows.column_names)) == rows.num_columns:
        return rows
    taken: set[str] = set()
    last: dict[str, int] = {}
    names: list[str] = []
    for name in rows.column_names:
        new = name
        while new in taken:
            last[name] = last.get(name, 0) + 1
            new = f"{name}_{last[name]}"
        taken.add(new)
        names.append(new)
    return rows.rename_columns(names)


def _first_rows(result: duckdb.DuckDBPyConnection, max_rows: int, batch: int) -> "pa.Table":
    """The first rows only, so that a huge result is never held."""
    import pyarrow as pa

    reader = result.to_arrow_reader(max(1, min(max_rows, batch)))
    batches, n_rows = [], 0
    while n_rows < max_rows and (found := next(iter(reader), None)) is not None:
        batches.append(found)
        n_rows += found.num_rows
    return pa.Table.from_batches(batches, reader.schema).slice(0, max_rows)
