"""Every MLP neuron of language models in one DuckDB file.

Start with `catalog.open("catalog.duckdb").sql("from models")`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catalog.api import Catalog, at, merge, open  # noqa: A004
    from catalog.rows import Rows

_OF_API = ("Catalog", "at", "merge", "open")
__all__ = ["Catalog", "Rows", "at", "merge", "open"]


def __getattr__(name: str) -> Any:
    # Imported when asked for, so that the command line begins before DuckDB is loaded.
    if name in _OF_API:
        from catalog import api

        return getattr(api, name)
    if name == "Rows":
        from catalog.rows import Rows

        return Rows
    raise AttributeError(f"module 'catalog' has no attribute {name!r}")
