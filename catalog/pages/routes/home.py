"""The models of the catalog, with their classes and medians."""

from collections import defaultdict
from typing import Final

from catalog.pages.asking import Asked
from catalog.pages.charts import class_bar, median_line
from catalog.pages.shown import Shown

PATH: Final = "/"


def show(asked: Asked) -> Shown:
    """One line a model: shape, shares of the classes, medians of cos(w_in, w_out) by layer."""
    catalog = asked.catalog
    models, classes, medians = catalog.models(), catalog.query("classes"), catalog.query("medians")
    shares: dict[str, dict[str, int]] = defaultdict(dict)
    for row in classes.arrow().to_pylist():
        if row["io_class"] is not None:
            shares[row["model"]][row["io_class"]] = row["neurons"]
    lines: dict[str, list[float | None]] = defaultdict(list)
    for row in medians.arrow().to_pylist():
        lines[row["model"]].append(row["median_cos_in_out"])
    rows = models.arrow().to_pylist()
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
