"""Class of each neuron at one step of a training run against its class at another."""

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catalog.figures.data import FigureData, no_change
from catalog.figures.style import INK, PAGE_IN, drawn, head
from catalog.taxonomy import IO_CLASSES, IO_THRESHOLD

OPTIONS: Final = {
    "threshold": ("fraction", "a |cosine| beyond it counts. [0.5]"),
    "since": ("step", "the earlier step. [the first]"),
    "until": ("step", "the later step. [the last]"),
}

_LINE_IN: Final = 0.36
_NO_CLASS: Final = "no class"
_NAMES: Final[tuple[str, ...]] = (*IO_CLASSES, _NO_CLASS)


def draw(
    data: FigureData,
    *,
    threshold: float = IO_THRESHOLD,
    since: int | None = None,
    until: int | None = None,
) -> Figure:
    """One matrix a series: rows are classes before, columns after; shaded by share of the row.

    A matrix, and no bands from one side to the other: nearly all neurons begin in one class, and
    beside its band all others would be hairs.

    Raises:
        NotFoundError: a series has a single step, or none after `since` or before `until`.
        UsageError: `since` is not before `until`.
    """
    steps = {"from_step": since, "to_step": until}
    found = [
        data.query_of_series("flow", series, threshold=threshold, **steps).to_pylist()
        for series in data.series
    ]
    for series, rows in zip(data.series, found, strict=True):
        if not rows:
            raise no_change(series)
    lines = [len({row["from_class"] for row in rows}) for rows in found]
    figure = Figure(
        figsize=(PAGE_IN, sum(lines) * _LINE_IN + len(found) * 0.9 + 0.3), layout="constrained"
    )
    panels = figure.subplots(len(found), 1, squeeze=False, height_ratios=lines).ravel()
    for series, rows, axes in zip(data.series, found, panels, strict=True):
        _matrix(axes, rows)
        axes.set_title(f"{drawn(series)}, step {rows[0]['from_step']:,} to {rows[0]['to_step']:,}")
    head(figure, f"IO classes of neurons at an earlier and a later step, threshold {threshold:g}")
    return figure


def _matrix(axes: Axes, rows: list[dict[str, Any]]) -> None:
    before, after = (
        [name for name in _NAMES if name in {_named(row[end]) for row in rows}]
        for end in ("from_class", "to_class")
    )
    counts = np.zeros((len(before), len(after)), int)
    for row in rows:
        at = before.index(_named(row["from_class"])), after.index(_named(row["to_class"]))
        counts[at] = row["neurons"]
    totals = counts.sum(axis=1)
    shares = counts / totals[:, None]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.7 else INK
            said = f"{count:,}\n{shares[row, column]:.1%}"
            axes.text(column, row, said, ha="center", va="center", color=colour, fontsize=6)
    named = [f"{name} ({total:,})" for name, total in zip(before, totals, strict=True)]
    axes.set_yticks(range(len(before)), named)
    axes.set_xticks(range(len(after)), [name.replace(" ", "\n") for name in after])
    axes.set_ylabel("earlier")
    axes.set_xlabel("later")
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _named(io_class: str | None) -> str:
    return io_class or _NO_CLASS
