"""Box plots of the three cosines by layer (paper, figures 4, 9 and 10)."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catalog.figures.data import FigureData
from catalog.figures.style import (
    COLUMN_IN,
    COSINE_LABELS,
    FAINT,
    GOLDEN,
    INK,
    LINE_COLOURS,
    PAGE_IN,
    head,
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
        figure = Figure(figsize=(COLUMN_IN, 1.0 + 1.2 * n), layout="constrained")
        grid = figure.subplots(n, 1, squeeze=False, sharex=True).T
        grid[0, 0].set_title(title_of(models[0]))
    else:
        figure = Figure(figsize=(PAGE_IN, 1.45 * len(models) + 0.3), layout="constrained")
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
    head(figure, "Cosines of each neuron's weight vectors, by layer")
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
        showfliers=False,
    )
    # Side by side: those of one layer would be a line, and hide how many there are.
    layers = np.repeat([row["layer"] for row in rows], [len(row["fliers"]) for row in rows])
    values = np.array([value for row in rows for value in row["fliers"]])
    beside = 0.6 * (np.arange(len(values)) * GOLDEN % 1 - 0.5)
    axes.plot(
        layers + beside,
        values,
        color=FAINT,
        marker=".",
        markersize=1.2,
        markeredgewidth=0,
        linestyle="none",
        rasterized=True,
    )
    signed = cosine == "in, out"
    axes.set_ylim(-1 if signed else 0, 1)
    label = COSINE_LABELS[cosine]
    axes.set_ylabel(label if signed else f"$|${label}$|$")
    layer_axis(axes, max((row["layer"] for row in rows), default=0) + 1, "")
