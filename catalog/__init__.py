"""Every MLP neuron of gated language models in one DuckDB file.

Start with `catalog.open("catalog.duckdb").sql("from models")`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catalog.api import Catalog, Rows, open  # noqa: A004

__all__ = ["Catalog", "Rows", "open"]


def __getattr__(name: str) -> Any:
    # Imported when asked for, so that the command line begins before DuckDB is loaded.
    if name in __all__:
        from catalog import api

        return getattr(api, name)
    raise AttributeError(f"module 'catalog' has no attribute {name!r}")
