"""Every neuron by its three cosines, one panel a layer (paper, figures 5 and 11 to 22).

Neurons without a gate have one cosine: theirs is a strip by layer.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Circle

from catalog.figures.data import FigureData
from catalog.figures.style import (
    COLUMN_IN,
    COSINE_LABELS,
    FAINT,
    GOLDEN,
    INK,
    PAGE_IN,
    STYLE,
    head,
    layer_axis,
    title_of,
)
from catalog.queries.records import Model
from catalog.reports.colours import CLASS_COLOURS
from catalog.taxonomy import IO_THRESHOLD

Points = npt.NDArray[np.float32]
"""Rows of x, y and colour."""

_COLOURS: Final = LinearSegmentedColormap.from_list(
    "gate_in", ["#7a2e00", "#d55e00", "#b0b0b0", "#0072b2", "#00304d"], N=65
)
"""Diverging and colour-blind safe, its middle dark enough to be seen on white."""

_EDGE: Final = 1.05
_WIDE: Final = 2.35
_HIGH: Final = 2.6
"""A panel reaches from -_EDGE to _EDGE; the next begins so many units further."""

_SCALE_IN: Final = 0.5
_TITLE_IN: Final = 0.45
_LABEL_IN: Final = 0.35
_HEAD_IN: Final = 0.3
_STRIP_IN: Final = 2.2


OPTIONS: Final = {"layer": ("layers", "only these layers.")}


def draw(data: FigureData, *, layer: Sequence[int] = ()) -> Figure:
    """x cos(gate, out), y cos(in, out), colour cos(gate, in), with the unit circle.

    Neurons with orthogonal w_gate and w_in lie within the circle (paper, section 4.3). Without a
    gate: y cos(in, out) over the layer. `layer` picks layers, all by default; several models stand
    below each other.
    """
    blocks = {model.model: _points(data, model, layer) for model in data.models if model.gated}
    columns = _columns(max(map(len, blocks.values()), default=1))
    width = COLUMN_IN if columns <= 3 else PAGE_IN
    unit = (width - _LABEL_IN) / columns / _WIDE
    heights = [
        _HIGH * unit * math.ceil(len(blocks[model.model]) / columns) + _TITLE_IN
        if model.gated
        else _STRIP_IN
        for model in data.models
    ]
    heights += [_SCALE_IN] * bool(blocks)
    figure = Figure(figsize=(width, sum(heights) + _HEAD_IN), layout="constrained")
    parts = [*figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights).flat]
    pixels = round(2 * _EDGE * unit * STYLE["savefig.dpi"])
    for model, part in zip(data.models, parts, strict=False):
        part.suptitle(title_of(model), fontsize="medium")
        if model.gated:
            _block(part.subplots(), blocks[model.model], columns, pixels)
        else:
            rows = data.own_query("strip", model, layers=list(layer) or None)
            _strip(part.subplots(), *(column.to_numpy() for column in rows.columns))
    if blocks:
        _scale(parts[-1])
    head(figure, "Neurons by their cosines, with class borders")
    return figure


def _scale(foot: SubFigure) -> None:
    """The colours of cos(gate, in)."""
    scale = foot.colorbar(
        ScalarMappable(Normalize(-1, 1), _COLOURS),
        cax=foot.add_axes((0.25, 0.7, 0.5, 0.15)),
        orientation="horizontal",
        ticks=(-1, -0.5, 0, 0.5, 1),
    )
    scale.set_label(COSINE_LABELS["gate, in"])
    scale.outline.set_visible(False)


def _strip(
    axes: Axes,
    layer: npt.NDArray[np.int16],
    neuron: npt.NDArray[np.int32],
    cosine: npt.NDArray[np.float32],
) -> None:
    """A dot a neuron, over its layer, in the colour of its class; the lines are its borders."""
    places = np.unique(layer)
    x = np.searchsorted(places, layer) + 0.8 * (neuron * GOLDEN % 1 - 0.5)
    axes.axhline(0, color=FAINT, linewidth=0.5)
    for border in (-IO_THRESHOLD, IO_THRESHOLD):
        axes.axhline(border, color=FAINT, linewidth=0.5, linestyle=":")
    size = float(np.clip(60 / math.sqrt(len(cosine)), 0.4, 2))
    for io_class, of_class in (
        ("orthogonal output", np.abs(cosine) <= IO_THRESHOLD),
        ("enrichment", cosine > IO_THRESHOLD),
        ("depletion", cosine < -IO_THRESHOLD),
    ):
        colour = FAINT if io_class == "orthogonal output" else CLASS_COLOURS[io_class]
        dots: dict[str, Any] = {"marker": "o", "markeredgewidth": 0, "rasterized": True}
        (drawn,) = axes.plot(
            x[of_class], cosine[of_class], "", color=colour, markersize=size, **dots
        )
        drawn.set_linestyle("none")
        drawn.set_label(io_class)
    medians = [np.median(cosine[layer == each]) for each in places]
    axes.plot(np.arange(len(places)), medians, color=INK, linewidth=0.8, label="median")
    axes.set_ylim(-1, 1)
    axes.set_ylabel(COSINE_LABELS["in, out"])
    layer_axis(axes, len(places))
    axes.set_xticks(*_layer_ticks(places))
    axes.figure.legend(loc="outside lower center", ncols=4, markerscale=4 / size)


def _layer_ticks(places: npt.NDArray[np.int16]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Where at most twelve layers are named, and how."""
    at = np.arange(0, len(places), -(-len(places) // 12))
    return at, [str(places[each]) for each in at]


def _columns(n: int) -> int:
    """How many of n panels stand side by side: the number that leaves the fewest places empty."""
    if n <= 4:
        return 2 if n == 4 else n
    return min(
        (4,) if n <= 8 else (6, 7, 8) if n <= 64 else (12,), key=lambda columns: -n % columns
    )


def _points(data: FigureData, model: Model, layers: Sequence[int]) -> dict[int, Points]:
    """The points of every layer."""
    rows = data.own_query("points", model, layers=list(layers) or None)
    layer, *cosines = (column.to_numpy() for column in rows.columns)
    borders = np.flatnonzero(np.diff(layer)) + 1
    firsts = layer[np.concatenate([[0], borders])]
    return dict(zip(firsts.tolist(), np.split(np.column_stack(cosines), borders), strict=True))


def _block(axes: Axes, points: dict[int, Points], columns: int, pixels: int) -> None:
    """All panels of a model on one pair of axes: matplotlib takes seconds for axes of their own."""
    middles = [(_WIDE * (at % columns), -_HIGH * (at // columns)) for at in range(len(points))]
    for (x, y), (layer, table) in zip(middles, points.items(), strict=True):
        extent = (x - _EDGE, x + _EDGE, y - _EDGE, y + _EDGE)
        picture = _dots(table, pixels)
        axes.imshow(picture, extent=extent, origin="lower", interpolation="none", zorder=1)
        axes.text(x, y + 1.1, f"layer {layer}", ha="center", va="bottom", fontsize="small")
    frame: dict[str, Any] = {"facecolor": "none", "edgecolor": FAINT, "linewidth": 0.5, "zorder": 0}
    circles = [Circle(middle, 1) for middle in middles]
    axes.add_collection(PatchCollection(circles, **frame), autolim=False)
    crosses = [
        line
        for x, y in middles
        for line in ([(x - _EDGE, y), (x + _EDGE, y)], [(x, y - _EDGE), (x, y + _EDGE)])
    ]
    axes.add_collection(LineCollection(crosses, **frame), autolim=False)
    borders = [
        line
        for x, y in middles
        for at in (-IO_THRESHOLD, IO_THRESHOLD)
        for line in (
            [(x - _EDGE, y + at), (x + _EDGE, y + at)],
            [(x + at, y - _EDGE), (x + at, y + _EDGE)],
        )
    ]
    dotted = {**frame, "linestyle": (0, (2, 2)), "label": "borders of the IO classes"}
    axes.add_collection(LineCollection(borders, **dotted), autolim=False)
    rows = math.ceil(len(points) / columns)
    beside = min(columns, len(points))
    axes.set(
        xlim=(-_EDGE, (beside - 1) * _WIDE + _EDGE),
        ylim=(-(rows - 1) * _HIGH - _EDGE, _EDGE + 0.4),
        xlabel=COSINE_LABELS["gate, out"],
        ylabel=COSINE_LABELS["in, out"],
    )
    middle_tick = {0: "0"} if columns <= 4 else {}
    ticks = {-1: "\N{MINUS SIGN}1", **middle_tick, 1: "1"}
    places = [at * _WIDE + end for at in range(beside) for end in ticks]
    axes.set_xticks(places, [*ticks.values()] * beside)
    places = [-at * _HIGH + end for at in range(rows) for end in ticks]
    axes.set_yticks(places, [*ticks.values()] * rows)
    axes.tick_params(labelsize="x-small", length=0, pad=1)
    axes.spines[:].set_visible(False)


def _dots(table: Points, pixels: int) -> npt.NDArray[np.uint8]:
    """A square picture of round dots, later neurons over earlier ones.

    matplotlib's own scatter takes ten times as long and draws vector files of many megabytes.
    """
    # Few neurons may be large dots; many must not hide each other.
    across = int(np.clip(0.5 * pixels / math.sqrt(len(table)), 2, 8))
    colours = _COLOURS((table[:, 2] + 1) / 2, bytes=True)
    x, y = ((table[:, :2] + _EDGE) / (2 * _EDGE) * pixels - (across - 1) / 2).astype(int).T
    picture = np.zeros((pixels, pixels, 4), np.uint8)
    middle = (across - 1) / 2
    for right in range(across):
        for up in range(across):
            if math.hypot(right - middle, up - middle) <= across / 2:
                inside = (y + up).clip(0, pixels - 1), (x + right).clip(0, pixels - 1)
                picture[inside] = colours
    return picture
