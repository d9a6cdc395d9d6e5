"""Shares of the IO classes by layer, stacked (paper, figures 3, 7 and 8)."""

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from catalog.figures.data import FigureData
from catalog.figures.style import facets, head, layer_axis, title_of
from catalog.queries.records import Model
from catalog.reports.colours import CLASS_COLOURS
from catalog.taxonomy import IO_THRESHOLD

OPTIONS: Final = {"threshold": ("fraction", "a |cosine| beyond it counts. [0.5]")}


def draw(data: FigureData, *, threshold: float = IO_THRESHOLD) -> Figure:
    """One panel a model; what is missing to 1 are neurons without a class."""
    figure, panels = facets(len(data.models), panel_height=1.7)
    for model, axes in zip(data.models, panels, strict=True):
        rows = data.named_query("classes_by_layer", model, threshold=threshold)
        _bars(axes, model, rows.to_pylist())
    panels[0].set_ylabel("share of neurons")
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in CLASS_COLOURS.items()],
        loc="outside lower center",
        ncols=2 if len(panels) == 1 else 3,
    )
    head(figure, f"IO classes by layer, at threshold {threshold:g}")
    return figure


def _bars(axes: Axes, model: Model, rows: list[dict[str, Any]]) -> None:
    n_layers = max(row["layer"] for row in rows) + 1
    counts = {name: np.zeros(n_layers) for name in CLASS_COLOURS}
    totals = np.zeros(n_layers)
    for row in rows:
        totals[row["layer"]] += row["neurons"]
        if row["io_class"] is not None:
            counts[row["io_class"]][row["layer"]] = row["neurons"]
    below = np.zeros(n_layers)
    gap = 0.12 if n_layers <= 64 else 0.0
    for name, colour in CLASS_COLOURS.items():
        share = counts[name] / np.maximum(totals, 1)
        axes.bar(np.arange(n_layers), share, 1 - gap, below, color=colour, linewidth=0)
        below += share
    axes.set_ylim(0, 1)
    axes.set_title(title_of(model))
    layer_axis(axes, n_layers)
