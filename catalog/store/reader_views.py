"""The public views and macros of this version, which a reader makes over an attached file's tables.

Making all of them takes longer than most questions, so those that a text names are made for it.
"""

import re
from collections.abc import Iterable
from typing import Final

import duckdb

from catalog.store.contents import FILE
from catalog.tables import TABLES
from catalog.views import comment_on_views, made_names, view_scripts

ABOUT_NAMES: Final = re.compile(r"duckdb_|information_schema|pragma|\bpg_|sqlite_", re.IGNORECASE)
"""What asks for views by DuckDB's lists, and may ask for their comments."""

_ABOUT_ALL: Final = re.compile(
    rf"\b(show|describe|tables)\b|(^|\()\s*desc\b|{ABOUT_NAMES.pattern}", re.IGNORECASE
)
"""The same, and statements that list names; `desc` is mostly the end of an `order by`."""
_TABLE: Final = re.compile(rf"\b(from|join) ({'|'.join(table.name for table in TABLES)})\b")
_WORDS: Final = re.compile(r"\w+")
_LISTS: Final = ("columns", "functions", "tables", "views")
"""DuckDB's lists of names, in which users find this version's views and not the file's."""


def make_views(connection: duckdb.DuckDBPyConnection, named_in: str | None = None) -> None:
    """Make the public views over the file's tables; all of them, or those that a text needs."""
    everything = named_in is None or _ABOUT_ALL.search(named_in)
    scripts = view_scripts()
    for script in scripts if everything else _needed(scripts, named_in or ""):
        connection.execute(over_file(script))
    if everything:
        for what in _LISTS:
            connection.execute(
                f"create or replace macro duckdb_{what}() as table "
                f"from system.main.duckdb_{what}() where database_name != '{FILE}'"
            )


def make_comments(connection: duckdb.DuckDBPyConnection) -> None:
    """Comment a reader's views and their columns, for who asks DuckDB's lists about them."""
    comment_on_views(lambda sql: connection.execute(sql).fetchall())


def over_file(sql: str) -> str:
    """SQL over the tables of the attached file."""
    return _TABLE.sub(rf"\1 {FILE}.main.\2", sql)


def _needed(scripts: Iterable[str], text: str) -> list[str]:
    """The scripts that make what a text names, and what these need themselves, in their order."""
    words = _words(text)
    needed: list[str] = []
    for script in reversed(list(scripts)):
        if words & {name.lower() for name in made_names(script)}:
            words |= _words(script)
            needed.append(script)
    return needed[::-1]


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(text)}
