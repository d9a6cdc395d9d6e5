"""Public views, and columns of them, that a name that is none of them may have meant."""

import difflib
import re
from collections.abc import Mapping, Sequence
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

    Of columns those come first of which the name is a part (`functional_role` for `role`), then
    names that are spelt alike. The message alone where it is about something else.
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
    parts = [column for column in of_views if name in column.split("_")]
    alike = difflib.get_close_matches(name, of_views, n=_N_NEAR, cutoff=0.75)
    near = list(dict.fromkeys([*parts, *alike]))[:_N_NEAR]
    if not near:
        return None
    named = (f"{column} (of {', '.join(of_views[column])})" for column in near)
    return f"Did you mean {' or '.join(named)}?"
