"""A count and a digest of stored rows: taken when they are loaded, checked by `catalog verify`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import duckdb


class RowsDigest(NamedTuple):
    """How many rows, and the sum of their hashes: the same in any order of the rows."""

    n_rows: int
    digest: str

    @classmethod
    def of_all(cls, parts: Iterable[Self]) -> Self:
        """The digest of rows of which each part was taken by itself."""
        parts = list(parts)
        return cls(
            sum(each.n_rows for each in parts), f"{sum(int(each.digest, 16) for each in parts):x}"
        )


def rows_digest(
    connection: duckdb.DuckDBPyConnection, table: str, run_id: int, columns: Sequence[str]
) -> RowsDigest:
    """Count and digest of a run's rows of a bulk table, over some of its columns."""
    rows = f"(from {table} where run_id = $run_id)"
    return digest_of(connection, rows, columns, {"run_id": run_id})


def digest_of(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    columns: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
) -> RowsDigest:
    """Count and digest of rows, a table or a query in parentheses, over some of its columns."""
    row = connection.execute(
        f"select count(*), coalesce(sum(hash({', '.join(columns)})::hugeint), 0) from {rows}",
        dict(parameters or {}),
    ).fetchone()
    assert row is not None
    return RowsDigest(int(row[0]), f"{int(row[1]):x}")
