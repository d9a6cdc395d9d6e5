"""Functional roles by layer: neurons that have one, stacked (paper, appendix F)."""

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from catalog.figures.data import FigureData
from catalog.figures.style import facets, head, layer_axis, title_of
from catalog.queries.records import Model
from catalog.reports.colours import ROLE_COLOURS

_NONE: Final = "other"


def draw(data: FigureData) -> Figure:
    """One panel a model; neurons of no role ('other') are left out, and their share is said."""
    found = list(
        data.where_there_is_some(lambda model: data.own_query("roles_by_layer", model, ("roles",)))
    )
    figure, panels = facets(len(found), panel_height=1.7, sharey=False)
    for (model, rows), axes in zip(found, panels, strict=True):
        _bars(axes, model, rows.to_pylist())
    figure.legend(
        handles=[Patch(color=ROLE_COLOURS[name], label=name) for name in _shown()],
        loc="outside lower center",
        ncols=2 if len(panels) == 1 else 3,
    )
    head(figure, "Functional roles by layer")
    return figure


def _shown() -> list[str]:
    return [name for name in ROLE_COLOURS if name != _NONE]


def _bars(axes: Axes, model: Model, rows: list[dict[str, Any]]) -> None:
    counts = {name: np.zeros(model.n_layers) for name in ROLE_COLOURS}
    for row in rows:
        counts[row["functional_role"]][row["layer"]] = row["neurons"]
    below = np.zeros(model.n_layers)
    gap = 0.12 if model.n_layers <= 64 else 0.0
    layers = np.arange(model.n_layers)
    for name in _shown():
        axes.bar(layers, counts[name], 1 - gap, below, color=ROLE_COLOURS[name], linewidth=0)
        below += counts[name]
    n_other, n_all = counts[_NONE].sum(), below.sum() + counts[_NONE].sum()
    axes.set_ylim(0, max(1.0, 1.05 * below.max()))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.set_ylabel("neurons")
    axes.set_title(f"{title_of(model)}\n{n_other / n_all:.1%} of {n_all:,.0f} have none")
    layer_axis(axes, model.n_layers)
