"""Shares of the IO classes over a training run: how they come about."""

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from catalog.figures.data import FigureData, no_change
from catalog.figures.style import INK, drawn, facets, head
from catalog.reports.colours import CLASS_COLOURS
from catalog.taxonomy import IO_THRESHOLD

OPTIONS: Final = {"threshold": ("fraction", "a |cosine| beyond it counts. [0.5]")}

_REST: Final = "orthogonal output"


def draw(data: FigureData, *, threshold: float = IO_THRESHOLD) -> Figure:
    """One panel a series, stacked over the tokens, or the steps where no tokens are known.

    The axis ends above the other classes: all that is left to 1 is orthogonal output.

    Raises:
        NotFoundError: a series has a single step.
    """
    figure, panels = facets(len(data.series), panel_height=2.0, sharey=False)
    for series, axes in zip(data.series, panels, strict=True):
        rows = data.query_of_series("evolution", series, threshold=threshold, by_layer=False)
        if len(set(rows["step"].to_pylist())) < 2:
            raise no_change(series)
        _areas(axes, rows.to_pylist())
        axes.set_title(drawn(series))
    panels[0].set_ylabel("share of neurons")
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in CLASS_COLOURS.items()],
        loc="outside lower center",
        ncols=2 if len(panels) == 1 else 3,
    )
    head(figure, f"IO classes in training, at threshold {threshold:g}")
    return figure


def _areas(axes: Axes, rows: list[dict[str, Any]]) -> None:
    unit = "step" if any(row["train_tokens"] is None for row in rows) else "train_tokens"
    places = sorted({row[unit] for row in rows})
    shares = {name: np.zeros(len(places)) for name in CLASS_COLOURS}
    for row in rows:
        if row["io_class"] is not None:
            shares[row["io_class"]][places.index(row[unit])] = row["share"]
    axes.stackplot(places, list(shares.values()), colors=list(CLASS_COLOURS.values()), linewidth=0)
    others = sum((share for name, share in shares.items() if name != _REST), np.zeros(1))
    axes.set_ylim(0, min(1.0, max(0.02, 1.15 * float(others.max()))))
    # Step 0 has no logarithm: it stands one decade before the first after it.
    first = next((place for place in places if place > 0), 1)
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    axes.set_xlim(places[0], places[-1])
    decades = [10.0**power for power in range(1, 19) if first <= 10.0**power <= places[-1]]
    ticks = [*places[: places[0] == 0], *(decades if len(decades) > 1 else places[1:])]
    axes.set_xticks(ticks, list(map(_short, ticks)))
    axes.minorticks_off()
    axes.plot(places, np.zeros(len(places)), "|", color=INK, clip_on=False, markersize=4)
    axes.set_xlabel("training step" if unit == "step" else "tokens of training")


def _short(number: float) -> str:
    """15,360 as 15.4K."""
    for power, letter in ((12, "T"), (9, "B"), (6, "M"), (3, "K")):
        if number >= 10**power:
            return f"{number / 10**power:.3g}{letter}"
    return f"{number:g}"
