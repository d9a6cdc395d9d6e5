"""Every MLP neuron of gated language models in one DuckDB file.

Start with `catalog.open("catalog.duckdb").sql("from models")`.
"""

from catalog.api import Catalog, Rows, open  # noqa: A004

__all__ = ["Catalog", "Rows", "open"]
