"""Which SQL `catalog sql` lets through: one SELECT, or EXPLAIN of one.

The check is by DuckDB's own parser: the type of the statement, then every part of its tree. A
read-only connection alone does not hold: in DuckDB 1.5 `COPY ... TO '<db>.wal' (FORMAT blob)`
passes it and forges the catalog, and in 2.0 a SELECT may hold such a COPY.
"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import duckdb

from catalog.errors import SqlError
from catalog.store.contents import FILE
from catalog.views import macro_names

_ALLOWED = (
    "Only one SELECT is allowed (also WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN)."
)

_QUERIES: Final = ("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE")
"""Kinds of query in a parse tree; all others (COPY_QUERY_NODE, INSERT_QUERY_NODE) have effects."""

_BESIDE_WHERE: Final = ("modifiers", "group_expressions", "having", "qualify", "sample")
"""What a query may have beside its WHERE, in a parse tree."""

_COMMENT: Final = re.compile(r"(--[^\n]*|/\*.*?\*/)", re.DOTALL)
_FROM: Final = frozenset(
    (
        *("generate_series", "icu_calendar_names", "json_each", "json_tree", "pg_timezone_names"),
        *("pragma_collations", "pragma_database_size", "pragma_user_agent", "pragma_version"),
        *("range", "repeat", "repeat_row", "summary", "test_all_types", "unnest"),
    )
)
"""DuckDB's functions in FROM that only compute; others run texts, write files or take names."""

_FROM_NAME: Final = frozenset(
    ("histogram", "histogram_values", "pragma_show", "pragma_storage_info", "pragma_table_info")
)
"""Those that look up a relation by a name, which must be that of a public view."""

_OF_MACHINE: Final = frozenset(
    (
        *("current_setting", "duckdb_databases", "duckdb_external_file_cache", "duckdb_settings"),
        *("duckdb_temporary_files", "pg_settings", "pragma_database_list"),
    )
)
"""Functions, and DuckDB's views of them, that tell paths: whom a catalog is served has no need."""


def checked_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """`sql` without what surrounds its one statement, if that statement only reads.

    It is parsed by the reader's walled-in `connection`, for some PRAGMAs read files when parsed.

    Raises:
        SqlError: it does not parse, is empty, is several statements, or is of another type.
    """
    statement = _parsed(connection, sql)
    select = statement
    if _kind(statement) == "EXPLAIN":
        select = _parsed(connection, _explained_part(statement.query))
    _require_select(select)
    _require_reading(connection, select.query)
    return statement.query


def checked_condition(connection: duckdb.DuckDBPyConnection, condition: str, source: str) -> str:
    """`condition` if it can stand after WHERE over `source`, does no more, and only reads.

    Raises:
        SqlError: it does not parse, is more than a condition, or has effects.
    """
    select = f"select 1 from {source} where {condition}\n"
    statement = _parsed(connection, select)
    _require_select(statement)
    _require_reading(connection, statement.query)
    (node,) = (part["node"] for part in _parse_tree(connection, statement.query)["statements"])
    beside = [name for name in _BESIDE_WHERE if node.get(name)]
    if node.get("type") != "SELECT_NODE" or node.get("where_clause") is None or beside:
        raise SqlError(
            f"{condition.strip()!r} is no condition: it may hold only what follows WHERE. Write "
            "for example: layer > 3 and io_class = 'depletion'."
        )
    return condition


def _parsed(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one statement that `sql` is."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise SqlError(f"The SQL does not parse. {error}") from error
    if not statements:
        raise SqlError('There is no SQL statement here. Try: catalog sql "from models"')
    if any(_makes_type(statement) for statement in statements):
        raise SqlError(
            "This PIVOT needs a list of its values, for DuckDB would create a type to find them: "
            "pivot ... on column in ('a', 'b')."
        )
    if len(statements) != 1:
        raise SqlError(f"{len(statements)} statements were given. {_ALLOWED}")
    return statements[0]


def _makes_type(statement: duckdb.Statement) -> bool:
    """Whether this is the nameless CREATE with which DuckDB prepares a PIVOT without values."""
    return _kind(statement) == "CREATE" and not statement.query.strip()


def _kind(statement: duckdb.Statement) -> str:
    """The name of the statement's type; "This" for one without a name."""
    try:
        name = statement.type.name
    except ValueError:  # of a type that DuckDB's own Python module does not know
        return "This"
    return name if name.isidentifier() else "This"


def _require_select(statement: duckdb.Statement) -> None:
    if (kind := _kind(statement)) != "SELECT":
        raise SqlError(f"{kind} is refused. {_ALLOWED}")


def _require_reading(connection: duckdb.DuckDBPyConnection, select: str) -> None:
    """Refuse a SELECT that holds anything but queries, or names the file beneath the views."""
    for part in _parts(_parse_tree(connection, select)):
        kind = part.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _QUERIES:
            raise SqlError(f"{kind.removesuffix('_QUERY_NODE')} is refused. {_ALLOWED}")
        for name in (part.get("table_name"), part.get("function_name")):
            if str(name).lower() in _OF_MACHINE:
                raise SqlError(f"{name} is refused: it tells of this machine, not of the catalog.")
        if kind == "TABLE_FUNCTION":
            _require_harmless(part["function"])
        path = part.get("qualified_name", {}).get("path", [])
        named = [part.get("catalog_name"), part.get("schema_name"), part.get("catalog"), *path[:-1]]
        if any(str(each).lower() == FILE for each in [*named, *part.get("column_names", [])]):
            raise SqlError(f"{FILE} is refused: the public views are all there is to ask.")


def _require_harmless(call: dict[str, Any]) -> None:
    """Refuse a function in FROM that does more than compute.

    Raises:
        SqlError: it is not among those known to be harmless, or takes what may be any name.
    """
    name = str(call.get("function_name", "")).lower()
    # DuckDB 1 writes a constant as `children` and `value`, 2 as `arguments` and `literal`.
    given = [each["expression"] for each in call.get("arguments", [])] or call.get("children", [])
    if name in _FROM or name in macro_names() or (name.startswith("duckdb_") and not given):
        return
    if name not in _FROM_NAME:
        raise SqlError(f"The function {name} is refused: it may do more than read the catalog.")
    first = given[0] if given else {}
    text = first.get("literal", {}).get("text") or first.get("value", {}).get("value")
    names = first.get("column_names") or [text]
    if len(names) != 1 or not isinstance(names[0], str) or not names[0].isidentifier():
        raise SqlError(f"The function {name} takes the name of one public view.")


def _parse_tree(connection: duckdb.DuckDBPyConnection, select: str) -> Any:
    try:
        row = connection.execute("select json_serialize_sql($1)", [select]).fetchone()
        tree = json.loads(row[0]) if row else {"error": True}
    except (duckdb.Error, RecursionError) as error:
        raise SqlError("The SQL is nested too deeply.") from error
    if tree["error"]:
        raise SqlError(f"The SQL cannot be checked: {tree.get('error_message')}. {_ALLOWED}")
    return tree


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parse tree; not by recursion, which a deep tree would exceed."""
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _explained_part(query: str) -> str:
    """What follows EXPLAIN, its options and ANALYZE, found by DuckDB's tokens."""
    # The tokenizer of DuckDB 1 skips comments, that of 2 counts them: they are no words here.
    ends = [start for start, _ in duckdb.tokenize(query)] + [len(query)]
    words = [(a, _COMMENT.sub(" ", query[a:b]).strip()) for a, b in pairwise(ends)]
    starts = [start for start, word in words if word] + [len(query)]
    bare = [word for _, word in words if word]
    at = 1
    while at < len(bare) and bare[at].lower() in ("analyze", "analyse", "verbose"):
        at += 1
    if at < len(bare) and bare[at] == "(" and not _opens_query(bare, at):
        while at < len(bare) and bare[at] != ")":
            at += 1
        at += 1
    return query[starts[min(at, len(bare))] :]


def _opens_query(words: list[str], at: int) -> bool:
    """Whether the parenthesis at `at` begins a query and not EXPLAIN's options."""
    following = words[at + 1].lower() if at + 1 < len(words) else ""
    return following in ("select", "with", "from", "values", "(", "table", "describe", "show")
