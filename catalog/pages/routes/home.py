"""The models of the catalog, with their classes and medians."""

from collections import defaultdict
from typing import Any, Final

from catalog.pages.asking import Asked
from catalog.pages.charts import class_bar, median_line
from catalog.pages.shown import Shown

PATH: Final = "/"


def show(asked: Asked) -> Shown:
    """One line a model, or training series: shape, shares of the classes, medians by layer."""
    catalog = asked.catalog
    models, classes, medians = catalog.models(), catalog.query("classes"), catalog.query("medians")
    shares: dict[str, dict[str, int]] = defaultdict(dict)
    for row in classes.arrow().to_pylist():
        if row["io_class"] is not None:
            shares[row["model"]][row["io_class"]] = row["neurons"]
    lines: dict[str, list[float | None]] = defaultdict(list)
    for row in medians.arrow().to_pylist():
        lines[row["model"]].append(row["median_cos_in_out"])
    rows = _one_a_series(models.arrow().to_pylist())
    return Shown(
        "Models",
        {"models": models, "classes": classes, "medians": medians},
        said={
            "models": rows,
            "bars": {m: class_bar(counts, f"IO classes of {m}") for m, counts in shares.items()},
            "lines": {
                m: median_line(values, f"median cos(w_in, w_out) of {m} by layer")
                for m, values in lines.items()
            },
        },
    )


def _one_a_series(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, of a series its last one, with the `earlier` steps and their models beside it.

    Rows of a series stand in the order of its steps.
    """
    lines: dict[str, dict[str, Any]] = {}
    for row in rows:
        series, at, step = row["model"].rpartition("@")
        key = series + at if at else row["model"]
        before = lines.pop(key, None)
        earlier = [*before["earlier"], (before["step"], before["model"])] if before else []
        lines[key] = row | {"step": step if at else None, "earlier": earlier}
    return list(lines.values())
