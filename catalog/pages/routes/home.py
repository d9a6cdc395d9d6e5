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
    rows = _one_a_series(models.arrow().to_pylist(), catalog.steps().arrow().to_pylist())
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


def _one_a_series(rows: list[dict[str, Any]], steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, of a series that of its last step alone, with the `earlier` steps beside it."""
    by_series: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for step in steps:
        by_series[step["series"]].append(step)
    earlier = {each[-1]["model"]: each[:-1] for each in by_series.values()}
    left_out = {step["model"] for each in earlier.values() for step in each}
    return [
        row | {"earlier": earlier.get(row["model"], [])}
        for row in rows
        if row["model"] not in left_out
    ]
