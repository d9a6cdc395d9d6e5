"""A neuron and its activation function, with a gate or without (paper, figure 6, appendix E)."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from catalog.errors import UsageError
from catalog.figures.data import FigureData
from catalog.figures.style import COLUMN_IN, FAINT, INK, title_of
from catalog.reports.colours import VECTOR_COLOURS

Values = npt.NDArray[np.float64]


def _swish(x: Values) -> Values:
    swish: Values = x / (1 + np.exp(-x))
    return swish


def _tanh_gelu(x: Values) -> Values:
    gelu: Values = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return gelu


def _relu(x: Values) -> Values:
    relu: Values = np.maximum(x, 0)
    return relu


_FUNCTIONS: Final[dict[str, tuple[str, Callable[[Values], Values]]]] = {
    "silu": ("Swish", _swish),
    "gelu_pytorch_tanh": ("GELU", _tanh_gelu),
    "relu": ("ReLU", _relu),
}
_ALIKE: Final = {"gelu": "gelu_pytorch_tanh", "gelu_new": "gelu_pytorch_tanh"}
"""Functions that no eye tells from another: the exact GELU from its approximation by tanh."""

_USUAL: Final = ("silu", "gelu_pytorch_tanh")
_GLU: Final = {"Swish": "SwiGLU", "GELU": "GeGLU"}


def draw(data: FigureData) -> Figure:
    """The neuron's computation, and the activation function of the models named.

    Without a name: a gated neuron, and both usual functions. Models with a gate and without cannot
    be shown together.

    Raises:
        UsageError: they are.
    """
    named = data.named_models
    gated = all(model.gated for model in named)
    if not gated and any(model.gated for model in named):
        raise UsageError(
            "swiglu shows one kind of neuron, and of the models named some have a gate and some "
            "have none. Name the one or the other."
        )
    names = {_ALIKE.get(model.activation_fn, model.activation_fn) for model in named}
    used = names & set(_FUNCTIONS) or set(_USUAL)
    functions = [_FUNCTIONS[name] for name in _FUNCTIONS if name in used]
    figure = Figure(figsize=(COLUMN_IN, 3.3), layout="constrained")
    schematic, curves = figure.subplots(2, 1, height_ratios=(1.25, 1))
    act = functions[0][0] if len(functions) == 1 else "act"
    title = f"A {_GLU[act]} neuron" if act in _GLU else "A gated neuron"
    if not gated:
        title = f"A {act} neuron without a gate" if act in _GLU else "A neuron without a gate"
    if len(named) == 1:
        title = f"{title}:\n{title_of(named[0])}"
    schematic.set_title(title)
    read = "gate" if gated else "in"
    _schematic(schematic, act, read)
    _curves(curves, functions, read)
    return figure


def _schematic(axes: Axes, act: str, read: str) -> None:
    """Boxes are vectors, ellipses scalars; `read` is the vector of what `act` takes."""
    axes.set(xlim=(0, 10), ylim=(0, 5))
    axes.text(10, 0.3, "boxes: vectors\nellipses: scalars", ha="right", fontsize="small")
    axes.set_axis_off()
    gate, within, out = (VECTOR_COLOURS[vector] for vector in ("gate", "in", "out"))
    box, ellipse = "square,pad=0.35", "ellipse,pad=0.2"
    if read == "in":
        gate = within
    nodes = {
        name: _node(axes, at, text, colour, shape)
        for name, at, text, colour, shape in (
            ("x", (0.6, 2.5), r"$x_\mathrm{norm}$", INK, box),
            ("w_gate", (2.2, 4.0), rf"$w_\mathrm{{{read}}}$", gate, box),
            ("gate", (3.9, 4.0), rf"$x_\mathrm{{{read}}}$", gate, ellipse),
            ("act", (6.6, 4.0), rf"$\mathrm{{{act}}}(x_\mathrm{{{read}}})$", gate, ellipse),
            *(
                (
                    ("w_in", (2.2, 1.0), r"$w_\mathrm{in}$", within, box),
                    ("in", (3.9, 1.0), r"$x_\mathrm{in}$", within, ellipse),
                )
                if read == "gate"
                else ()
            ),
            ("post", (6.6, 2.5), r"$\times$", INK, ellipse),
            ("w_out", (6.6, 1.0), r"$w_\mathrm{out}$", out, box),
            ("added", (9.0, 2.5), "added to\nthe stream", INK, box),
        )
    }
    for path in (
        ("x", "w_gate", "gate", "act", "post", "added"),
        ("x", "w_in", "in", "post") if read == "gate" else (),
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


def _curves(axes: Axes, functions: list[tuple[str, Callable[[Values], Values]]], read: str) -> None:
    x = np.linspace(-5, 3, 401)
    axes.axhline(0, color=FAINT, linewidth=0.5)
    axes.axvline(0, color=FAINT, linewidth=0.5)
    for (name, function), style in zip(functions, ("-", "--", ":"), strict=False):
        axes.plot(x, function(x), style, color=VECTOR_COLOURS[read], linewidth=1.2, label=name)
    if all(function(x).min() < 0 for _, function in functions):
        lowest = functions[0][1](x)
        axes.annotate(
            "weakly negative",
            xy=(x[lowest.argmin()], lowest.min()),
            xytext=(-3.9, 1.0),
            fontsize="small",
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": INK},
        )
    axes.set(xlim=(-5, 3), ylim=(-0.5, 2.5), xlabel=rf"$x_\mathrm{{{read}}}$")
    axes.set_ylabel(rf"$\mathrm{{act}}(x_\mathrm{{{read}}})$")
    axes.legend(loc="upper left")
