"""Box plots of the three cosines by layer (paper, figures 4, 9 and 10)."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catalog.figures.data import FigureData
from catalog.figures.style import (
    COLUMN_IN,
    COSINE_LABELS,
    FAINT,
    INK,
    LINE_COLOURS,
    PAGE_IN,
    layer_axis,
    title_of,
)
from catalog.queries.records import Model


def draw(data: FigureData) -> Figure:
    """Three panels a model, below each other for one, side by side for several; without a gate one.

    The cosines of w_gate are without sign, which carries nothing by itself (paper, section 4.2).
    """
    models = data.models
    if len(models) == 1:
        n = len(_cosines(models[0]))
        figure = Figure(figsize=(COLUMN_IN, 0.8 + 1.2 * n), layout="constrained")
        grid = figure.subplots(n, 1, squeeze=False, sharex=True).T
        figure.suptitle(title_of(models[0]), fontsize="medium")
    else:
        figure = Figure(figsize=(PAGE_IN, 1.45 * len(models)), layout="constrained")
        grid = figure.subplots(len(models), 3, squeeze=False)
    for model, panels in zip(models, grid, strict=True):
        rows = data.own_query("box_plots", model).to_pylist()
        there = _cosines(model)
        for absent in panels[: -len(there)]:
            absent.set_axis_off()
        for cosine, axes in zip(there, panels[-len(there) :], strict=True):
            _boxes(axes, cosine, [row for row in rows if row["cosine"] == cosine])
        panels[-1].set_xlabel("layer")
        if len(models) > 1:
            panels[1].set_title(title_of(model))
            panels[0].set_xlabel("layer")
            panels[1].set_xlabel("layer")
    return figure


def _cosines(model: Model) -> list[str]:
    """The cosines that the model's neurons have, that of w_in and w_out last."""
    return [each for each in COSINE_LABELS if model.gated or "gate" not in each]


def _boxes(axes: Axes, cosine: str, rows: list[dict[str, Any]]) -> None:
    axes.axhline(0, color=FAINT, linewidth=0.5)
    line = {"linewidth": 0.5, "color": INK}
    axes.bxp(
        rows,
        positions=[row["layer"] for row in rows],
        widths=0.7,
        patch_artist=True,
        manage_ticks=False,
        showcaps=False,
        boxprops={"linewidth": 0.4, "facecolor": LINE_COLOURS[-1], "edgecolor": INK},
        medianprops={"linewidth": 1.2, "color": LINE_COLOURS[1]},
        whiskerprops=line,
        flierprops={
            "marker": ".",
            "markersize": 1.2,
            "markerfacecolor": FAINT,
            "markeredgewidth": 0,
            "rasterized": True,
        },
    )
    signed = cosine == "in, out"
    axes.set_ylim(-1 if signed else 0, 1)
    label = COSINE_LABELS[cosine]
    axes.set_ylabel(label if signed else f"$|${label}$|$")
    layer_axis(axes, max((row["layer"] for row in rows), default=0) + 1, "")
