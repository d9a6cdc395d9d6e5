"""How figures look: sizes of a paper's columns, labels, titles."""

import math
import textwrap
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from catalog.queries.records import Model
from catalog.visible import visible

COLUMN_IN: Final = 3.3
PAGE_IN: Final = 6.9
"""Widths of one column and of the page, in inches."""

INK: Final = "#222222"
FAINT: Final = "#999999"

LINE_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LINE_STYLES: Final = (("-", "o"), ((0, (3, 1.5)), "^"), (":", "s"))
"""Dashes and markers; a colour comes again only with the next of them."""

GOLDEN: Final = (math.sqrt(5) - 1) / 2
"""Its multiples, less their whole part, spread evenly over the width of a strip."""

COSINE_LABELS: Final = {
    "gate, in": r"$\cos(w_\mathrm{gate}, w_\mathrm{in})$",
    "gate, out": r"$\cos(w_\mathrm{gate}, w_\mathrm{out})$",
    "in, out": r"$\cos(w_\mathrm{in}, w_\mathrm{out})$",
}

STYLE: Final[Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.columnspacing": 1.2,
    "axes.linewidth": 0.5,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "mathtext.fontset": "dejavusans",
    "savefig.dpi": 300,
    "svg.hashsalt": "neuron-catalog",
    "pdf.fonttype": 42,
}


def title_of(model: Model) -> str:
    """Model and kind of weights, as every figure's title has them."""
    return textwrap.fill(f"{drawn(model.model)} ({drawn(model.weights)} weights)", 38)


def head(figure: Figure, what: str) -> None:
    """Say above a figure what it is, the models standing below."""
    narrow = figure.get_figwidth() < PAGE_IN
    lines = [textwrap.fill(line, 52 if narrow else 110) for line in what.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=8, fontweight="bold")


def drawn(text: str) -> str:
    """A text of the catalog as a figure shows it: visible, and never a formula."""
    return visible(text).replace("$", r"\$")


def facets(n: int, panel_height: float, *, sharey: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of n equal panels: one column wide for a single one, else the page."""
    columns = 1 if n == 1 else 2 if n <= 4 else 3
    rows = -(-n // columns)
    width = COLUMN_IN if columns == 1 else PAGE_IN
    figure = Figure(figsize=(width, rows * panel_height + 0.8), layout="constrained")
    panels: list[Axes] = [*figure.subplots(rows, columns, squeeze=False, sharey=sharey).ravel()]
    for spare in panels[n:]:
        spare.remove()
    return figure, panels[:n]


def layer_axis(axes: Axes, n_layers: int, label: str = "layer") -> None:
    """An x axis of layers 0 to n - 1, each half a unit wide to either side, with few ticks."""
    axes.set_xlim(-0.5, n_layers - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.set_xlabel(label)
