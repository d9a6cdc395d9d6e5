"""The slices in which the rows of a large view are read: no more at once than fits in memory."""

from typing import Any, Final

from catalog.store.handle import Handle
from catalog.views import View

Condition = tuple[str, dict[str, Any]]
"""A condition over a view's columns, and the values of its parameters."""

_ROW_GROUPS: Final = 8
"""Row groups that are held at once: 0.2 GB of Arrow at most."""


def slices(catalog: Handle, view: View, model: str) -> tuple[list[Condition], int | None]:
    """Conditions that cut a model's rows into slices, in their order, and how many rows in all.

    A view that is read at once is one slice; its rows are not counted first.
    """
    if view.cut_by is None:
        return [("true", {})], None
    major, minor = view.cut_by
    counts = catalog.fetch(
        f"select {major} as major, count(*) as n_rows, max({minor}) + 1 as n_minor "
        f"from {view.name} where model = $model group by all order by all",
        {"model": model},
    ).to_pylist()
    condition = f"{major} = $major and {minor} between $first and $last"
    conditions: list[Condition] = []
    for count in counts:
        step = max(1, _ROW_GROUPS * view.row_group * count["n_minor"] // count["n_rows"])
        conditions += [
            (condition, {"major": count["major"], "first": first, "last": first + step - 1})
            for first in range(0, count["n_minor"], step)
        ]
    return conditions, sum(count["n_rows"] for count in counts)
