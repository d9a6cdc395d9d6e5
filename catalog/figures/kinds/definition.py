"""The IO classes as regions of the plane of two cosines (paper, figure 2 and table 1).

Beside it the rule for neurons without a gate, which have one cosine.
"""

from collections.abc import Mapping
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from catalog.figures.data import FigureData
from catalog.figures.style import COLUMN_IN, COSINE_LABELS, FAINT
from catalog.reports.colours import CLASS_COLOURS, VECTOR_COLOURS
from catalog.taxonomy import IO_THRESHOLD

_CLASSES: Final = {
    1: ("conditional enrichment", "enrichment"),
    0: ("orthogonal output", "proportional change"),
    -1: ("conditional depletion", "depletion"),
}
"""By T(in, out): the class where T(gate, out) is 0, and where it is not."""

_BORDERS: Final = (-1.0, -IO_THRESHOLD, IO_THRESHOLD, 1.0)
_PLAIN_WIDTH: Final = 0.65
_ARROW: Final = 0.19
_SIDEWAYS: Final = (1.0, 0.0)
_TOWARDS_US: Final = (-0.7, -0.55)


def draw(_data: FigureData) -> Figure:
    """Nine fields and three, each with its class and the vectors of a prototypical neuron."""
    figure = Figure(figsize=(COLUMN_IN * 4 / 3 + 0.2, COLUMN_IN + 0.3), layout="constrained")
    axes, plain = figure.subplots(1, 2, width_ratios=(2, _PLAIN_WIDTH))
    for gate_out in (-1, 0, 1):
        for in_out in (-1, 0, 1):
            _field(axes, gate_out, in_out)
    circle: dict[str, Any] = {"color": FAINT, "linewidth": 0.8, "linestyle": ":"}
    axes.add_patch(Circle((0, 0), 1, fill=False, **circle))
    axes.set(xlim=(-1, 1), ylim=(-1, 1), xticks=(*_BORDERS, 0), yticks=(*_BORDERS, 0))
    axes.set_aspect("equal")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(COSINE_LABELS["gate, out"])
    axes.set_ylabel(COSINE_LABELS["in, out"])
    axes.set_title(f"IO classes at threshold {IO_THRESHOLD:g}")
    for in_out in (-1, 0, 1):
        _plain_field(plain, in_out)
    plain.set(xlim=(0, _PLAIN_WIDTH), ylim=(-1, 1), xticks=(), yticks=(*_BORDERS, 0))
    plain.set_aspect("equal")
    plain.yaxis.set_major_formatter("{x:g}")
    plain.spines["bottom"].set_visible(False)
    plain.set_title("without a gate")
    figure.legend(
        handles=[
            Line2D([], [], color=colour, label=f"$w_\\mathrm{{{vector}}}$", linewidth=1.5)
            for vector, colour in VECTOR_COLOURS.items()
        ]
        + [Line2D([], [], **circle, label="unit circle")],
        loc="outside lower center",
        ncols=4,
    )
    return figure


def _field(axes: Axes, gate_out: int, in_out: int) -> None:
    left, right = _BORDERS[gate_out + 1 : gate_out + 3]
    foot = _named_field(axes, left, right, in_out, _CLASSES[in_out][abs(gate_out)])
    _vectors(axes, foot, gate_out, in_out)


def _plain_field(axes: Axes, in_out: int) -> None:
    name = {1: "enrichment", 0: "orthogonal output", -1: "depletion"}[in_out]
    foot = _named_field(axes, 0.0, _PLAIN_WIDTH, in_out, name)
    within = (0.0, float(in_out)) if in_out else _SIDEWAYS
    _arrows(axes, foot, {"out": (0.0, 1.0), "in": within}, {"out": 0.0, "in": -0.06})


def _named_field(
    axes: Axes, left: float, right: float, in_out: int, name: str
) -> tuple[float, float]:
    """The field of a class, and where the vectors of a neuron in it start."""
    low, high = _BORDERS[in_out + 1 : in_out + 3]
    colour = CLASS_COLOURS[name]
    axes.add_patch(
        Rectangle((left, low), right - left, high - low, facecolor=colour, alpha=0.4, linewidth=0)
    )
    axes.add_patch(Rectangle((left, low), right - left, high - low, fill=False, edgecolor="white"))
    middle = (left + right) / 2
    axes.text(
        middle,
        high - 0.05 if in_out else high - 0.25,
        name.replace(" ", "\n"),
        ha="center",
        va="top",
        fontsize="small",
    )
    return middle, low + (0.16 if in_out else 0.35)


def _vectors(axes: Axes, foot: tuple[float, float], gate_out: int, in_out: int) -> None:
    """Arrows of a neuron whose cosines are -1, 0 or 1; w_out points up."""
    gate = (0.0, float(gate_out)) if gate_out else _SIDEWAYS
    beside = _SIDEWAYS if gate_out else _TOWARDS_US
    within = (0.0, float(in_out)) if in_out else beside
    # Parallel arrows stand side by side, opposite ones at the same height.
    beside_out = {"out": 0.0, "gate": -0.06, "in": 0.06 if gate_out else -0.06}
    _arrows(axes, foot, {"gate": gate, "out": (0.0, 1.0), "in": within}, beside_out)


def _arrows(
    axes: Axes,
    foot: tuple[float, float],
    vectors: Mapping[str, tuple[float, float]],
    beside_out: Mapping[str, float],
) -> None:
    """The vectors; upright ones stand so far beside w_out."""
    for vector, (x, y) in vectors.items():
        upright = x == 0
        start_x = foot[0] + (beside_out[vector] if upright else 0)
        start_y = foot[1] - _ARROW / 2 * (y if upright else 1)
        axes.annotate(
            "",
            xy=(start_x + _ARROW * x, start_y + _ARROW * y),
            xytext=(start_x, start_y),
            arrowprops={
                "arrowstyle": "-|>,head_length=0.25,head_width=0.13",
                "color": VECTOR_COLOURS[vector],
                "linewidth": 1.1,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
