"""The Python API: open a catalog, ask it SQL, look at a neuron.

Nothing stays open between two calls, so a notebook never keeps an ingest from writing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.neuron_id import NeuronId
from catalog.store.location import Location, as_location
from catalog.store.opening import DEFAULT_WAIT_S
from catalog.store.reading import fetch_checked, reading

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from catalog.queries.neuron_record import NeuronRecord


class Rows:
    """The result of a query, held in memory as an Arrow table."""

    def __init__(self, table: "pa.Table") -> None:
        self._table = table

    def arrow(self) -> "pa.Table":
        """As a `pyarrow.Table`."""
        return self._table

    def df(self) -> "pd.DataFrame":
        """As a pandas data frame; needs pandas."""
        return self._table.to_pandas()

    def pl(self) -> "pl.DataFrame":
        """As a Polars data frame; needs polars."""
        import polars

        frame = polars.from_arrow(self._table)
        assert isinstance(frame, polars.DataFrame)
        return frame

    def fetchall(self) -> list[tuple[Any, ...]]:
        """As a list of tuples."""
        return [tuple(row.values()) for row in self._table.to_pylist()]

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        return f"{len(self):,} rows: {', '.join(self._table.column_names)}"


class Catalog:
    """A catalog, a file or a lake; made by `catalog.open`."""

    def __init__(self, path: Location, wait_s: float) -> None:
        self.path = path
        self._wait_s = wait_s

    def sql(self, query: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> Rows:
        """Run one SELECT over the public views (DESIGN section 3); `$1` or `$name` are bound.

        Raises:
            SqlError: the SQL is wrong, or more than one SELECT.
            DatabaseError: the file cannot be used.
        """
        return Rows(fetch_checked(self.path, query, parameters, self._wait_s))

    def neuron(
        self, neuron_id: str, model: str | None = None, corpus: str | None = None
    ) -> "NeuronRecord":
        """Everything the catalog knows of one neuron, e.g. `neuron("28.4737")`.

        Raises:
            NotFoundError, UsageError: no such neuron, or it is not clear of which model.
        """
        from catalog.queries.neuron_record import read_neuron

        return read_neuron(self.path, NeuronId.parse(neuron_id), model, corpus, self._wait_s)

    def __repr__(self) -> str:
        return f"Catalog({str(self.path)!r})"


def open(  # noqa: A001  the name that users expect
    path: str | Path = "catalog.duckdb", wait_s: float = DEFAULT_WAIT_S
) -> Catalog:
    """Open a catalog for reading.

    Args:
        path: the DuckDB file, or a lake: the folder or URL of a `catalog export`.
        wait_s: how long each query waits for an ingest that is writing, in seconds.

    Raises:
        DatabaseMissing, SchemaOutdated, SchemaTooNew, DatabaseCorrupt: it cannot be read.
    """
    found = as_location(path)
    with reading(found, wait_s):
        return Catalog(found, wait_s)
