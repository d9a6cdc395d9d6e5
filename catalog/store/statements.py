"""Which SQL `catalog sql` lets through: one SELECT, or EXPLAIN of one (DESIGN section 3).

The check is by DuckDB's own parser. A read-only connection alone does not hold: in DuckDB 1.5
`COPY ... TO '<db>.wal' (FORMAT blob)` passes it and forges the catalog.
"""

import re
from itertools import pairwise

import duckdb

from catalog.errors import SqlError

_ALLOWED = (
    "Only one SELECT is allowed (also WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN)."
)


def checked_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """`sql` without what surrounds its one statement, if that statement only reads.

    It is parsed by the reader's walled-in `connection`, for some PRAGMAs read files when parsed.

    Raises:
        SqlError: it does not parse, is empty, is several statements, or is of another type.
    """
    statement = _parsed(connection, sql)
    if statement.type == duckdb.StatementType.EXPLAIN:
        _require_select(_parsed(connection, _explained_part(statement.query)))
    else:
        _require_select(statement)
    return statement.query


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
    return statement.type == duckdb.StatementType.CREATE and not statement.query.strip()


def _require_select(statement: duckdb.Statement) -> None:
    if statement.type != duckdb.StatementType.SELECT:
        name = statement.type.name
        raise SqlError(f"{name if name.isidentifier() else 'This'} is refused. {_ALLOWED}")


def _explained_part(query: str) -> str:
    """What follows EXPLAIN, its options and ANALYZE, found by DuckDB's tokens."""
    # Comments are blanked first (the tokenizer skips them), so that offsets and words agree.
    starts = [start for start, _ in duckdb.tokenize(query)] + [len(query)]
    words = [query[a:b] for a, b in pairwise(starts)]
    bare = [re.sub(r"(--[^\n]*|/\*.*?\*/)", " ", word, flags=re.DOTALL).strip() for word in words]
    at = 1
    while at < len(bare) and bare[at].lower() in ("analyze", "analyse", "verbose"):
        at += 1
    if at < len(bare) and bare[at] == "(" and not _opens_query(bare, at):
        while at < len(bare) and bare[at] != ")":
            at += 1
        at += 1
    return query[starts[min(at, len(words))] :]


def _opens_query(words: list[str], at: int) -> bool:
    """Whether the parenthesis at `at` begins a query and not EXPLAIN's options."""
    following = words[at + 1].lower() if at + 1 < len(words) else ""
    return following in ("select", "with", "from", "values", "(", "table", "describe", "show")
