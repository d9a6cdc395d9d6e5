"""One model: its classes and medians by layer, its roles, its finished stages."""

from typing import Final

from catalog.errors import UsageError
from catalog.pages.addresses import address
from catalog.pages.asking import Asked
from catalog.pages.charts import classes_by_layer, medians_by_layer
from catalog.pages.shown import Shown

PATH: Final = "/m/{model}"


def show(asked: Asked) -> Shown:
    """Layers by classes at a threshold, and the paper's other views of a whole model."""
    catalog, model = asked.catalog, asked.path["model"]
    entry = asked.once(catalog.entry, model)
    threshold = asked.text("threshold") or "0.5"
    given = [f"model={model}", f"threshold={threshold}"]
    classes = asked.once(catalog.query, "classes_by_layer", *given)
    quartiles = asked.once(catalog.query, "cosine_quartiles", f"model={model}")
    roles = asked.once(catalog.query, "contingency", f"model={model}")
    entries = asked.once(catalog.models).arrow().to_pylist()
    stages = [row for row in entries if row["model"] == model]

    def leads(layer: int, io_class: str) -> str | None:
        if float(threshold) != 0.5:  # that of lists
            return None
        asked_for = {"model": model, "class": io_class, "layer": layer}
        return address("find", parameters=asked_for)

    rows = [r for r in quartiles.arrow().to_pylist() if r["cosine"] == "in, out"]
    by_class: dict[str, list[int]] = {}
    for row in classes.arrow().to_pylist():
        counts = by_class.setdefault(row["io_class"] or "none", [0, 0])
        counts[0] += row["neurons"]
        counts[1] += row["atypical"]
    return Shown(
        model,
        {"classes": classes, "quartiles": quartiles, "roles": roles},
        said={
            "model": model,
            "entry": entry,
            "stages": stages[0]["stages"] if stages else None,
            "threshold": _checked(threshold),
            "is_usual": float(threshold) == 0.5,
            "classes_chart": classes_by_layer(
                classes.arrow().to_pylist(), leads, f"IO classes of {model} by layer"
            ),
            "medians_chart": medians_by_layer(rows, f"cos(w_in, w_out) of {model} by layer"),
            "by_class": by_class,
            "neurons": sum(count for count, _ in by_class.values()),
            "roles": roles.arrow().to_pylist(),
        },
    )


def _checked(threshold: str) -> str:
    """A threshold as it came, which the query has taken for a number."""
    try:
        float(threshold)
    except ValueError:
        raise UsageError(f"threshold is {threshold!r}; it must be a number.") from None
    return threshold
