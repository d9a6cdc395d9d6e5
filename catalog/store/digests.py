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


def grouped_digests(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    key: str | None,
    columns: Sequence[str],
    only: Sequence[int] | None = None,
) -> dict[int, RowsDigest]:
    """Count and digest of a table's rows by the values of `key`; without one, of all rows as of 0.

    `only`: of these values alone; the blocks of other rows are then passed over.
    """
    condition = ""
    if key is not None and only is not None:
        condition = f" where {key} in ({', '.join(map(str, only))})"
    rows = connection.execute(
        f"select {key or 0} as owner_id, count(*), sum({_hash(columns)}) "
        f"from {relation}{condition} group by owner_id order by owner_id"
    ).fetchall()
    return {owner_id: RowsDigest(int(n), f"{int(total):x}") for owner_id, n, total in rows}


def _hash(columns: Sequence[str]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    return f"hash({names})::hugeint"


def digest_of(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    columns: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
) -> RowsDigest:
    """Count and digest of rows, a table or a query in parentheses, over some of its columns."""
    row = connection.execute(
        f"select count(*), coalesce(sum({_hash(columns)}), 0) from {rows}",
        dict(parameters or {}),
    ).fetchone()
    assert row is not None
    return RowsDigest(int(row[0]), f"{int(row[1]):x}")
