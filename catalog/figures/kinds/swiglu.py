"""A gated neuron and its activation function (paper, figure 6 and section 3)."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from catalog.figures.data import FigureData
from catalog.figures.style import COLUMN_IN, FAINT, INK, VECTOR_COLOURS, title_of

Values = npt.NDArray[np.float64]


def _swish(x: Values) -> Values:
    swish: Values = x / (1 + np.exp(-x))
    return swish


def _tanh_gelu(x: Values) -> Values:
    gelu: Values = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return gelu


_FUNCTIONS: Final[dict[str, tuple[str, Callable[[Values], Values]]]] = {
    "silu": ("Swish", _swish),
    "gelu_pytorch_tanh": ("GELU", _tanh_gelu),
}
_GLU: Final = {"Swish": "SwiGLU", "GELU": "GeGLU"}


def draw(data: FigureData) -> Figure:
    """The neuron's computation, and the activation function of the models named (else both)."""
    named = data.named_models
    used = {model.activation_fn for model in named} & set(_FUNCTIONS) or set(_FUNCTIONS)
    functions = [_FUNCTIONS[name] for name in _FUNCTIONS if name in used]
    figure = Figure(figsize=(COLUMN_IN, 3.3), layout="constrained")
    schematic, curves = figure.subplots(2, 1, height_ratios=(1.25, 1))
    act = functions[0][0] if len(functions) == 1 else "act"
    title = f"A {_GLU[act]} neuron" if act in _GLU else "A gated neuron"
    if len(named) == 1:
        title = f"{title}: {title_of(named[0])}"
    schematic.set_title(title)
    _schematic(schematic, act)
    _curves(curves, functions)
    return figure


def _schematic(axes: Axes, act: str) -> None:
    """Boxes are vectors, ellipses scalars."""
    axes.set(xlim=(0, 10), ylim=(0, 5))
    axes.text(10, 0.3, "boxes: vectors\nellipses: scalars", ha="right", fontsize="small")
    axes.set_axis_off()
    gate, within, out = (VECTOR_COLOURS[vector] for vector in ("gate", "in", "out"))
    box, ellipse = "square,pad=0.35", "ellipse,pad=0.2"
    nodes = {
        name: _node(axes, at, text, colour, shape)
        for name, at, text, colour, shape in (
            ("x", (0.6, 2.5), r"$x_\mathrm{norm}$", INK, box),
            ("w_gate", (2.2, 4.0), r"$w_\mathrm{gate}$", gate, box),
            ("w_in", (2.2, 1.0), r"$w_\mathrm{in}$", within, box),
            ("gate", (3.9, 4.0), r"$x_\mathrm{gate}$", gate, ellipse),
            ("in", (3.9, 1.0), r"$x_\mathrm{in}$", within, ellipse),
            ("act", (6.6, 4.0), rf"$\mathrm{{{act}}}(x_\mathrm{{gate}})$", gate, ellipse),
            ("post", (6.6, 2.5), r"$\times$", INK, ellipse),
            ("w_out", (6.6, 1.0), r"$w_\mathrm{out}$", out, box),
            ("added", (9.0, 2.5), "added to\nthe stream", INK, box),
        )
    }
    for path in (
        ("x", "w_gate", "gate", "act", "post", "added"),
        ("x", "w_in", "in", "post"),
        ("w_out", "post"),
    ):
        for start, end in pairwise(path):
            _arrow(axes, nodes[start], nodes[end])


def _node(axes: Axes, at: tuple[float, float], text: str, colour: str, shape: str) -> Text:
    frame = {"boxstyle": shape, "facecolor": "white", "edgecolor": colour, "linewidth": 0.9}
    return axes.text(*at, text, ha="center", va="center", bbox=frame)


def _arrow(axes: Axes, start: Text, end: Text) -> None:
    axes.annotate(
        "",
        xy=end.get_position(),
        xytext=start.get_position(),
        arrowprops={
            "arrowstyle": "-|>,head_length=0.3,head_width=0.15",
            "color": INK,
            "linewidth": 0.7,
            "patchA": start.get_bbox_patch(),
            "patchB": end.get_bbox_patch(),
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def _curves(axes: Axes, functions: list[tuple[str, Callable[[Values], Values]]]) -> None:
    x = np.linspace(-5, 3, 401)
    axes.axhline(0, color=FAINT, linewidth=0.5)
    axes.axvline(0, color=FAINT, linewidth=0.5)
    for (name, function), style in zip(functions, ("-", "--"), strict=False):
        axes.plot(x, function(x), style, color=VECTOR_COLOURS["gate"], linewidth=1.2, label=name)
    axes.annotate(
        "weakly negative",
        xy=(-1.2, -0.25),
        xytext=(-3.9, 1.0),
        fontsize="small",
        arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": INK},
    )
    axes.set(xlim=(-5, 3), ylim=(-0.5, 2.5), xlabel=r"$x_\mathrm{gate}$")
    axes.set_ylabel(r"$\mathrm{act}(x_\mathrm{gate})$")
    axes.legend(loc="upper left")
