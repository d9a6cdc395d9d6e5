"""How often gates are open, by layer and IO class, one panel a model and corpus."""

from itertools import groupby
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catalog.figures.data import FigureData
from catalog.figures.style import drawn, facets, head, layer_axis, title_of
from catalog.queries.records import Model
from catalog.reports.colours import CLASS_COLOURS
from catalog.taxonomy import IO_THRESHOLD

OPTIONS: Final = {
    "corpus": ("corpus", "on which corpus, where there are several."),
    "threshold": ("fraction", "of the classes: a |cosine| beyond it counts. [0.5]"),
}

_WORDS: Final = {
    (True, True): ("an open gate", "gates are open"),
    (False, False): ("in > 0", "in is above 0"),
    (False, True): ("an open gate, or in > 0", "gates are open, or in is above 0 without a gate"),
}
"""Of models all gated, all without a gate, or both: what is counted, and the title's words."""


def draw(data: FigureData, *, corpus: str | None = None, threshold: float = IO_THRESHOLD) -> Figure:
    """A line a class: the mean share of positions with gate > 0 (without a gate in > 0).

    A dot's area goes with the square root of the neurons that it is the mean of.
    """
    panels_of = [
        (model, name, list(rows))
        for model, found in data.where_there_is_some(
            lambda model: data.named_query(
                "gate_frequency", model, corpus=corpus, threshold=threshold
            )
        )
        for name, rows in groupby(found.to_pylist(), key=lambda row: row["corpus"])
    ]
    figure, panels = facets(len(panels_of), panel_height=2.2)
    for (model, name, rows), axes in zip(panels_of, panels, strict=True):
        _lines(axes, model, rows)
        axes.set_title(f"{title_of(model)} on {drawn(name)}")
    gated = {model.gated for model, _, _ in panels_of}
    open_, often = _WORDS[min(gated), max(gated)]
    panels[0].set_ylabel(f"share of positions with {open_}")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 if len(panels) == 1 else 3)
    head(figure, f"How often {often}, by IO class")
    return figure


def _lines(axes: Axes, model: Model, rows: list[dict[str, Any]]) -> None:
    for name, colour in CLASS_COLOURS.items():
        own = [row for row in rows if row["io_class"] == name]
        layers = [row["layer"] for row in own]
        frequencies = [row["mean_frequency"] for row in own]
        axes.plot(layers, frequencies, color=colour, linewidth=0.9, label=name)
        sizes = [row["neurons"] ** 0.5 for row in own]
        axes.scatter(layers, frequencies, sizes, color=colour, linewidth=0, clip_on=False)
    axes.set_ylim(0, 1)
    layer_axis(axes, model.n_layers)
