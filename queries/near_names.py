"""Public views, and columns of them, that a name that is none of them may have meant."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from catalog.store.contents import FILE

_UNKNOWN: Final = (
    re.compile(r'Referenced column "(?P<name>[^"]+)" not found'),
    re.compile(r'does not have a column named "(?P<name>[^"]+)"'),
)
"""What DuckDB 1.5 says of a name that is no column."""

_NO_VIEW: Final = re.compile(r"Table with name (?P<name>\S+) does not exist")
_BENEATH: Final = re.compile(rf'\nDid you mean "{FILE}\.[^"]*"\?')
"""DuckDB's own question about a table that no statement may name."""

_N_NEAR: Final = 3


def with_near_names(said: str, views: Mapping[str, Sequence[str]]) -> str:
    """DuckDB's message, with a question that names what is near a view or column that is not there.

    The message alone where it is about something else.
    """
    said = _BENEATH.sub("", said)
    near = _near_views(said, views) or _near_columns(said, views)
    return f"{said}\n{near}" if near else said


def _near_views(said: str, views: Mapping[str, Sequence[str]]) -> str | None:
    found = _NO_VIEW.search(said)
    near = found and difflib.get_close_matches(found["name"].lower(), views, n=_N_NEAR)
    return f"Did you mean {' or '.join(near)}?" if near else None


def _near_columns(said: str, views: Mapping[str, Sequence[str]]) -> str | None:
    found = next(filter(None, (pattern.search(said) for pattern in _UNKNOWN)), None)
    if found is None:
        return None
    name = found["name"].lower()
    of_views: dict[str, list[str]] = {}
    for view, columns in views.items():
        for column in columns:
            of_views.setdefault(column, []).append(view)
    near = near_columns(name, of_views)
    if not near:
        return None
    named = (f"{column} (of {', '.join(of_views[column])})" for column in near)
    return f"Did you mean {' or '.join(named)}?"


def near_columns(name: str, columns: Iterable[str]) -> list[str]:
    """At most three columns that a name, which is none of them, may have meant.

    First those of which it is a part (`functional_role` for `role`), then names that are spelt
    alike, then those that are a part of it (`role` for `functional_role`).
    """
    there = list(columns)
    wholes = [each for each in there if name in each.split("_")]
    alike = difflib.get_close_matches(name, there, n=_N_NEAR, cutoff=0.75)
    parts = [each for each in there if each in name.split("_")]
    return list(dict.fromkeys([*wholes, *alike, *parts]))[:_N_NEAR]
