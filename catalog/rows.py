"""What the library answers with: rows, held in memory as an Arrow table."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


class Rows:
    """Rows, and in `notes` what the user should know about them, in sentences.

    `total`: how many there are where these are a part of them, None where nobody counted.
    """

    def __init__(
        self, table: "pa.Table", notes: tuple[str, ...] = (), total: int | None = None
    ) -> None:
        self._table = table
        self.notes = notes
        self.total = total

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
