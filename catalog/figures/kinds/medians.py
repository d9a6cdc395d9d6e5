"""Median cos(w_in, w_out) by layer, one line a model (paper, figure 1)."""

from typing import Final

from matplotlib.figure import Figure

from catalog.figures.data import FigureData
from catalog.figures.style import (
    COLUMN_IN,
    COSINE_LABELS,
    FAINT,
    LINE_COLOURS,
    LINE_STYLES,
    drawn,
    head,
    layer_axis,
    title_of,
)

OPTIONS: Final = {"depth": ("flag", "over relative depth, not the layer.")}


def draw(data: FigureData, *, depth: bool = False) -> Figure:
    """Lines over the layer or, with `depth`, over the layer's place between first and last."""
    models = data.models
    one = len(models) == 1
    legend_in = 0 if one else 0.15 * -(-len(models) // 2)
    figure = Figure(figsize=(COLUMN_IN, 2.4 + legend_in), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=FAINT, linewidth=0.5)
    kinds = {model.weights for model in models}
    n_layers = 0
    for at, model in enumerate(models):
        rows = data.named_query("medians", model)
        dashes, marker = LINE_STYLES[at // len(LINE_COLOURS) % len(LINE_STYLES)]
        axes.plot(
            rows["depth" if depth else "layer"].to_pylist(),
            rows["median_cos_in_out"].to_pylist(),
            color=LINE_COLOURS[at % len(LINE_COLOURS)],
            linestyle=dashes,
            linewidth=0.9,
            marker=marker,
            markersize=2 if rows.num_rows <= 64 else 0,
            label=drawn(model.model) if len(kinds) == 1 else title_of(model),
        )
        n_layers = max(n_layers, max(rows["layer"].to_pylist()) + 1)
    if depth:
        axes.set_xlabel("relative depth (first layer 0, last 1)")
    else:
        layer_axis(axes, n_layers)
    axes.set_ylabel("median " + COSINE_LABELS["in, out"])
    axes.set_title(title_of(models[0]) if one else drawn(f"{', '.join(sorted(kinds))} weights"))
    head(figure, f"Median cosine of w_in and w_out by {'depth' if depth else 'layer'}")
    if not one:
        figure.legend(loc="outside lower center", ncols=2, handlelength=3)
    return figure
