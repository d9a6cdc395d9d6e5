"""Columns of the public views that a name that is none of them may have meant."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Final

_UNKNOWN: Final = (
    re.compile(r'Referenced column "(?P<name>[^"]+)" not found'),
    re.compile(r'does not have a column named "(?P<name>[^"]+)"'),
)
"""What DuckDB 1.5 says of a name that is no column."""

_N_NEAR: Final = 3


def near_columns(said: str, views: Mapping[str, Sequence[str]]) -> str | None:
    """A question that names columns near the unknown one of DuckDB's message.

    Columns of which it is a part come first (`functional_role` for `role`), then names that are
    spelt alike. None where the message is about something else, or nothing is near.
    """
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
