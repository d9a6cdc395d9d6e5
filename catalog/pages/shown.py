"""What a page shows: tables, and what its template says around them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.rows import Rows


@dataclass(frozen=True)
class Shown:
    """A page's answer, of which one place makes every format.

    `tables`: rows by name; CSV and Parquet are those of the first, or of the one that the parameter
    `table` names. `record`: what JSON gives, else it gives the rows of that table.
    `said`: what the template takes besides.
    """

    title: str
    tables: Mapping[str, Rows] = field(default_factory=dict)
    record: Any = None
    said: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Moved:
    """Another address that answers better."""

    address: str
