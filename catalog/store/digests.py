"""A count and a digest of stored rows: taken when they are loaded, checked by `catalog verify`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb


class RowsDigest(NamedTuple):
    """How many rows, and the sum of their hashes: the same in any order of the rows."""

    n_rows: int
    digest: str


def rows_digest(
    connection: duckdb.DuckDBPyConnection, table: str, run_id: int, columns: Sequence[str]
) -> RowsDigest:
    """Count and digest of a run's rows of a bulk table, over some of its columns."""
    return digest_where(connection, table, columns, "run_id = $run_id", {"run_id": run_id})


def digest_where(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[str],
    condition: str,
    parameters: Mapping[str, object],
) -> RowsDigest:
    """Count and digest of the rows of a table that a condition names, over some of its columns."""
    row = connection.execute(
        f"select count(*), coalesce(sum(hash({', '.join(columns)})::hugeint), 0) "
        f"from {table} where {condition}",
        dict(parameters),
    ).fetchone()
    assert row is not None
    return RowsDigest(int(row[0]), f"{int(row[1]):x}")
