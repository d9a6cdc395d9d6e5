"""What an attached catalog file, maybe a stranger's, holds: by DuckDB's lists, before it is asked.

A view in the place of a table, a default value or a macro could call functions with effects. The
lists say what is there without running or binding any of it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import duckdb

from catalog.declaration import Column
from catalog.errors import DatabaseError
from catalog.tables import TABLES
from catalog.views import VIEWS, macro_names

FILE: Final = "catalog_file"
"""The name of the attached catalog. Statements of users may not name it."""

VERSION_TABLE: Final = "alembic_version"

# Names of databases are ours and no values: DuckDB imports pandas when it binds a value. Few rows
# are sorted here, for DuckDB's sort takes longer than the lists.
_TABLES: Final = """
select table_name, sql from duckdb_tables()
where database_name = '{0}' and schema_name = 'main' and not temporary
"""
_VIEWS: Final = "select view_name from duckdb_views() where database_name = '{0}' and not internal"
_CODE: Final = (
    ("index", "select index_name from duckdb_indexes() where database_name = '{0}'"),
    ("sequence", "select sequence_name from duckdb_sequences() where database_name = '{0}'"),
)
_TRIGGERS: Final = ("trigger", "select trigger_name from duckdb_triggers()")
"""Only DuckDB 2 has them, and their list."""

_MACROS: Final = "select function_name from duckdb_functions() where database_name = '{0}'"

_PLAIN: Final = re.compile(r"\w+ [A-Z0-9]+(\[\])?( NOT NULL)?", re.ASCII)
"""A column as DuckDB writes it, without a default value, a key, a check or an expression."""

_OF_ALEMBIC: Final = {
    (VERSION_TABLE, part)
    for part in ("PRIMARY KEY(version_num)", "version_num VARCHAR PRIMARY KEY")
}
_COMPRESSION: Final = re.compile(r" USING COMPRESSION \w+")
_QUOTED: Final = re.compile(r'"(\w+)"', re.ASCII)


def refuse_planted(connection: duckdb.DuckDBPyConnection, path: Path, database: str) -> None:
    """Refuse an attached file in which a table's name stands for anything but plain columns.

    Raises:
        DatabaseError: it does; the message says what.
    """
    names = {table.name for table in TABLES} | {VERSION_TABLE}
    for (view,) in sorted(connection.execute(_VIEWS.format(database)).fetchall()):
        if view.lower() in names:
            raise _refused(path, f"{view} is a view in it, where a catalog has a table")
    for table, parts in sorted(_definitions(connection, database).items()):
        if table in {view.name for view in VIEWS}:
            raise _refused(path, f"{table} is a table in it, where a catalog has a view")
        for part in sorted(parts) if table in names else ():
            if not _PLAIN.fullmatch(part) and (table, part) not in _OF_ALEMBIC:
                raise _refused(path, f"its table {table} has what a catalog's has not ({part})")


def refuse_code(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse a file to be written in which anything would run on a change of rows.

    Raises:
        DatabaseError: it does; the message says what.
    """
    lists = (*_CODE, _TRIGGERS) if int(duckdb.__version__.split(".")[0]) > 1 else _CODE
    for kind, sql in lists:
        for (name,) in sorted(connection.execute(sql.format(FILE)).fetchall()):
            raise _refused(path, f"it brings the {kind} {name}")


def refuse_shadows(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse a file whose views are to be made if it brings macros, which may go by any name.

    Raises:
        DatabaseError: it does; the message says which.
    """
    for (name,) in sorted(connection.execute(_MACROS.format(FILE)).fetchall()):
        if name not in macro_names():
            raise _refused(path, f"it brings the macro {name}")


def check_columns(connection: duckdb.DuckDBPyConnection, path: Path, database: str) -> None:
    """Refuse an attached catalog of this version whose tables are not those declared.

    Raises:
        DatabaseError: a table is missing, lacks columns of their types, or has others.
    """
    there = _definitions(connection, database)
    if lacking := sorted(table.name for table in TABLES if table.name not in there):
        raise DatabaseError(
            f"{path} lacks tables of a catalog ({', '.join(lacking)}): it was not made by this "
            "program, or is damaged. Restore it from a copy."
        )
    for table in TABLES:
        declared = {_definition(column) for column in table.columns}
        if lost := sorted(declared - there[table.name]):
            raise DatabaseError(
                f"{path} lacks columns of {table.name} ({', '.join(lost)}): it was not made by "
                "this program, or is damaged. Restore it from a copy."
            )
        if more := sorted(there[table.name] - declared):
            raise _refused(path, f"its table {table.name} has other columns ({', '.join(more)})")


def _definitions(
    connection: duckdb.DuckDBPyConnection, database: str
) -> Mapping[str, frozenset[str]]:
    """The tables of an attached file, by their names in small letters, each with its columns."""
    rows = connection.execute(_TABLES.format(database)).fetchall()
    return {name.lower(): _parts(sql) for name, sql in rows}


def _parts(sql: str) -> frozenset[str]:
    """What stands between the parentheses of a CREATE TABLE, plain names without their quotes."""
    inside = sql[sql.find("(") + 1 : sql.rfind(")")]
    return frozenset(_QUOTED.sub(r"\1", _COMPRESSION.sub("", inside)).split(", "))


def _definition(column: Column) -> str:
    return f"{column.name} {column.duckdb_type}{'' if column.nullable else ' NOT NULL'}"


def _refused(path: Path, what: str) -> DatabaseError:
    return DatabaseError(
        f"{path} is refused: {what}. It was not made by this program. Ask whoever made it for an "
        "export of its rows."
    )
