"""Walls around a catalog file, maybe a stranger's: none of its code runs, no other file opens.

A file is attached to a database in memory. Before anything is asked of its tables, DuckDB's own
lists say whether each name is what the declaration says: a view in the place of a table could call
functions with effects. Readers then get this version's views and macros, made in memory over those
tables, and never run a view of the file's. The settings that open other files are locked, for
writers too.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import duckdb

from catalog.declaration import Table
from catalog.errors import DatabaseError
from catalog.store.opening import attach, check_path
from catalog.tables import TABLES
from catalog.views import comment_on_views, macro_names, view_scripts

FILE: Final = "catalog_file"
"""The name of the attached catalog. Statements of users may not name it."""

CONFIG: Final[dict[str, Any]] = {
    "python_enable_replacements": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
}

NO_FILES: Final = (
    "set enable_external_access = false",
    "set disabled_filesystems = 'LocalFileSystem'",
    "set lock_configuration = true",
)
"""For readers; what is attached already stays readable."""

NO_OTHER_FILES: Final = ("set enable_external_access = false", "set lock_configuration = true")
"""For writers, which also write the attached file's log and spill beside it."""

VERSION_TABLE: Final = "alembic_version"
_NAMED: Final = re.compile(rf"\b(from|join) ({'|'.join(table.name for table in TABLES)})\b")
_LISTS: Final = ("columns", "functions", "tables", "views")
"""DuckDB's lists of names, in which users find this version's views and not the file's."""

# Names of databases are ours and no values: DuckDB imports pandas when it binds a value.
_KINDS: Final = """
select 'table' as kind, table_name as name from duckdb_tables()
where database_name = '{database}' and schema_name = 'main'
union all
select 'view', view_name from duckdb_views()
where database_name = '{database}' and schema_name = 'main'
union all
select 'macro', function_name from duckdb_functions()
where database_name = '{database}' and schema_name = 'main'
order by all
"""
_COLUMNS: Final = """
select table_name, list(column_name || ' ' || data_type order by column_index)
from duckdb_columns()
where database_name = '{database}' and schema_name = 'main'
group by table_name
order by table_name
"""
_DEFAULTS: Final = """
select table_name, column_name
from duckdb_columns()
where database_name = '{database}' and schema_name = 'main' and column_default is not null
order by all
limit 1
"""


def open_reader(path: Path, wait_s: float) -> duckdb.DuckDBPyConnection:
    """A connection in memory to which the file is attached for reading, as `FILE`.

    Raises:
        DatabaseError: as `catalog.store.opening.attach`.
    """
    check_path(path, read_only=True)
    connection = duckdb.connect(config=CONFIG | {"temp_directory": ""})
    try:
        attach(connection, path, FILE, read_only=True, wait_s=wait_s)
    except BaseException:
        connection.close()
        raise
    return connection


def open_writer(path: Path, wait_s: float) -> duckdb.DuckDBPyConnection:
    """A connection in memory to which the file, made if need be, is attached to be written.

    It can write that file, its log and what it spills, and no other; the file's names are checked.

    Raises:
        DatabaseError: as `catalog.store.opening.attach` and `check_kinds`.
    """
    check_path(path, read_only=False)
    spill = str(path.with_name(path.name + ".tmp"))
    connection = duckdb.connect(config=CONFIG | {"temp_directory": spill})
    try:
        attach(connection, path, FILE, read_only=False, wait_s=wait_s)
        check_kinds(connection, path, FILE)
        refuse_code(connection, path)
        for wall in NO_OTHER_FILES:
            connection.execute(wall)
        connection.execute(f"use {FILE}")
    except BaseException:
        connection.close()
        raise
    return connection


def make_views(connection: duckdb.DuckDBPyConnection, *, beneath: bool) -> None:
    """Give a reader this version's views and macros over the file's tables, and lock it.

    With `beneath` the tables can be named too, by the catalog's own queries.
    """
    for script in view_scripts():
        connection.execute(over_file(script))
    for what in _LISTS:
        connection.execute(
            f"create macro duckdb_{what}() as table "
            f"from system.main.duckdb_{what}() where database_name != '{FILE}'"
        )
    if beneath:
        connection.execute(f"set search_path = 'memory.main,{FILE}.main'")
    for wall in NO_FILES:
        connection.execute(wall)


def make_comments(connection: duckdb.DuckDBPyConnection) -> None:
    """Comment a reader's views and their columns, for who asks DuckDB's lists about them."""
    comment_on_views(lambda sql: connection.execute(sql).fetchall())


def over_file(sql: str) -> str:
    """SQL over the tables of the attached file."""
    return _NAMED.sub(rf"\1 {FILE}.main.\2", sql)


def check_kinds(connection: duckdb.DuckDBPyConnection, path: Path, database: str) -> None:
    """Refuse an attached file in which a table's name stands for something else.

    Raises:
        DatabaseError: it does; the message says what.
    """
    names = {table.name for table in TABLES} | {VERSION_TABLE}
    for kind, name in connection.execute(_KINDS.format(database=database)).fetchall():
        if kind != "table" and name in names:
            raise _refused(path, f"{name} is a {kind} in it, where a catalog has a table")


def refuse_code(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse a file to be written that brings code: macros of others, triggers, default values.

    Raises:
        DatabaseError: it does; the message says what.
    """
    for kind, name in connection.execute(_KINDS.format(database=FILE)).fetchall():
        if kind == "macro" and name not in macro_names():
            raise _refused(path, f"it brings the {kind} {name}")
    for table, column in connection.execute(_DEFAULTS.format(database=FILE)).fetchall():
        raise _refused(path, f"the column {table}.{column} has a default value")
    if ("duckdb_triggers",) in connection.execute(
        "select distinct function_name from duckdb_functions() "
        "where function_name = 'duckdb_triggers' order by all"
    ).fetchall():
        for (name,) in connection.execute(
            "select trigger_name from duckdb_triggers() order by all limit 1"
        ).fetchall():
            raise _refused(path, f"it brings the trigger {name}")


def check_columns(connection: duckdb.DuckDBPyConnection, path: Path, database: str) -> None:
    """Refuse an attached catalog of this version whose tables are not those declared.

    Raises:
        DatabaseError: a table is missing, or lacks columns of their types.
    """
    there = dict(connection.execute(_COLUMNS.format(database=database)).fetchall())
    if lacking := sorted(table.name for table in TABLES if table.name not in there):
        raise DatabaseError(
            f"{path} lacks tables of a catalog ({', '.join(lacking)}): it was not made by this "
            "program, or is damaged. Restore it from a copy."
        )
    for table in TABLES:
        if lost := _lost(table, there[table.name]):
            raise DatabaseError(
                f"{path} lacks columns of {table.name} ({', '.join(lost)}): it was not made by "
                "this program, or is damaged. Restore it from a copy."
            )


def _lost(table: Table, there: Iterable[str]) -> list[str]:
    return sorted({f"{column.name} {column.duckdb_type}" for column in table.columns} - set(there))


def _refused(path: Path, what: str) -> DatabaseError:
    return DatabaseError(
        f"{path} is refused: {what}. It was not made by this program. Ask whoever made it for an "
        "export of its rows."
    )
