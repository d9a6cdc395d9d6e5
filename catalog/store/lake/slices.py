"""The slices in which the rows of a large view are read: no more at once than fits in memory."""

from typing import Any, Final

import duckdb

from catalog.views import View

Condition = tuple[str, dict[str, Any]]
"""A condition over a view's columns, and the values of its parameters."""

_ROW_GROUPS: Final = 8
"""Row groups that are held at once: 0.2 GB of Arrow at most."""


def slices(
    connection: duckdb.DuckDBPyConnection, view: View, model: str
) -> tuple[list[Condition], int | None]:
    """Conditions that cut a model's rows into slices, in their order, and how many rows in all.

    A view that is read at once is one slice; its rows are not counted first.
    """
    if view.cut_by is None:
        return [("true", {})], None
    major, minor = view.cut_by
    counts = connection.execute(
        f"select {major}, count(*), max({minor}) + 1 from {view.name} where model = $1 "
        "group by all order by all",
        [model],
    ).fetchall()
    condition = f"{major} = $major and {minor} between $first and $last"
    conditions: list[Condition] = []
    for value, n_rows, n_minor in counts:
        step = max(1, _ROW_GROUPS * view.row_group * n_minor // n_rows)
        conditions += [
            (condition, {"major": value, "first": first, "last": first + step - 1})
            for first in range(0, n_minor, step)
        ]
    return conditions, sum(n_rows for _, n_rows, _ in counts)
