"""Effects of ablated subsets beside those of their baselines, one panel a model."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catalog.figures.data import FigureData
from catalog.figures.style import FAINT, LINE_COLOURS, PAGE_IN, head, title_of

OPTIONS: Final = {"metric": ("metric", "loss (the default), entropy, rank or log_scale.")}

_BASELINES: Final = ("none", "layer", "frequency")
_LABELS: Final = {"none": "subset", "layer": "same layers", "frequency": "and same frequency"}
_ROW_IN: Final = 0.32
_UNITS: Final = {"loss": " (nats)", "entropy": " (nats)"}
_NAMES: Final = {"log_scale": "scale of what the final norm reads", "rank": "next token's rank"}
_LINEAR: Final = 1e-4
"""Effects below this are drawn on a linear scale, those above on a logarithmic one."""


def draw(data: FigureData, *, metric: str = "loss") -> Figure:
    """Mean effect of each draw as a dot, the middle half of all positions as a bar.

    Ablated minus clean: a positive loss says that the neurons helped. Subsets stand below each
    other, each above the draws of its baselines.
    """
    found = data.where_there_is_some(
        lambda model: data.own_query("ablation_effects", model, ("ablation",), metric=metric)
    )
    blocks = [(model, _by_ablation(rows.to_pylist())) for model, rows in found]
    heights = [_ROW_IN * len(rows) + 0.6 for _, rows in blocks]
    figure = Figure(figsize=(PAGE_IN, sum(heights) + 0.6), layout="constrained")
    panels = figure.subplots(len(blocks), 1, squeeze=False, height_ratios=heights).ravel()
    for axes, (model, rows) in zip(panels, blocks, strict=True):
        _panel(axes, rows)
        axes.set_title(title_of(model))
        axes.set_xlabel(f"{metric}, ablated minus clean{_UNITS.get(metric, '')}")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    head(figure, f"What ablations do to the {_NAMES.get(metric, metric)}, beside random neurons")
    return figure


def _by_ablation(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows of each ablation, in the order of the query."""
    return [list(own) for _, own in groupby(rows, key=lambda row: row["ablation_id"])]


def _panel(axes: Axes, ablations: Sequence[Sequence[dict[str, Any]]]) -> None:
    axes.axvline(0, color=FAINT, linewidth=0.5)
    for at, rows in enumerate(ablations):
        for place, baseline in enumerate(_BASELINES):
            own = [row for row in rows if row["baseline"] == baseline]
            y = at + 0.25 * (place - 1)
            colour = LINE_COLOURS[place]
            for row in own:
                axes.plot(
                    (row["q25"], row["q75"]), (y, y), color=colour, linewidth=2, alpha=1 / len(own)
                )
            axes.plot(
                [row["mean"] for row in own],
                [y] * len(own),
                color=colour,
                marker="o" if baseline == "none" else "|",
                markersize=3.5 if baseline == "none" else 5,
                linestyle="none",
                label=_LABELS[baseline] if at == 0 else None,
            )
    axes.set_xscale("symlog", linthresh=_LINEAR)
    axes.set_yticks(range(len(ablations)), [_label(rows[0]) for rows in ablations])
    axes.set_ylim(len(ablations) - 0.5, -0.5)


def _label(row: dict[str, Any]) -> str:
    """The subset, its size, and how it is ablated."""
    signs = "".join(
        f", {what}{row[f'{what}_sign']}" for what in ("gate", "post") if row[f"{what}_sign"]
    )
    subset = row["subset"] if len(row["subset"]) <= 36 else row["subset"][:35] + "…"
    return f"{subset} ({row['n_neurons']:,})\n{row['kind']}{signs}"
