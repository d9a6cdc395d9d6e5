"""One neuron on a corpus: what post typically is, and how far it goes in each sign case."""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catalog.errors import NotFoundError, Option, UsageError
from catalog.figures.data import FigureData
from catalog.figures.style import COLUMN_IN, FAINT, INK, LINE_COLOURS, drawn, head
from catalog.queries.records import NeuronRecord, SignCase

OPTIONS: Final = {
    "neuron": ("neuron", "which one, as layer.neuron or model:layer.neuron."),
    "corpus": ("corpus", "on which corpus, where there are several."),
}

_N_BINS: Final = 41
_ROOM: Final = 0.2
"""Of half the axis, between two ticks: their labels do not touch."""
_POSITIVE, _NEGATIVE = LINE_COLOURS[1], LINE_COLOURS[0]


def draw(data: FigureData, *, neuron: str | None = None, corpus: str | None = None) -> Figure:
    """Above a histogram of the samples; below a line a case, all over one scale of post.

    The scale is linear near 0 and logarithmic beyond the median |post| of the samples. Of a case
    the line goes to its extreme, the dot is its mean, the strokes are exemplars.

    Raises:
        UsageError: no neuron is named, or no model where there are several.
        NotFoundError: there is no such neuron, or it has no activations.
    """
    if neuron is None:
        raise UsageError("Which neuron is to be drawn?", "Name it with ", Option("neuron"), ".")
    record = data.neuron(neuron, corpus)
    if record.corpus is None:
        raise NotFoundError(
            f"There is nothing to draw of {neuron}: {record.model.model} has no activations yet.",
            "Ingest a corpus with ",
            Option("corpus"),
            ".",
        )
    samples = _samples(data, record)
    cases = {name: case for name, case in record.cases.items() if case.statistics.frequency}
    figure = Figure(figsize=(COLUMN_IN, 2.2 + 0.28 * len(cases)), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, 0.25 * len(cases) + 0.1))
    size = np.abs(samples[samples != 0])
    posts = [each.post for case in cases.values() for each in case.exemplars]
    edge = 1.1 * max([*np.abs(posts), *size], default=1.0)
    linear = float(np.median(size)) if len(size) else edge
    above.set_xscale("asinh", linear_width=linear)
    above.set_xlim(-edge, edge)
    _histogram(above, samples, edge)
    _cases(below, cases)
    ticks = _ticks(linear, edge)
    below.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    below.set_xticks((), minor=True)
    below.set_xlabel("post (asinh scale)")
    n_said = f"{len(samples):,} sampled positions of {drawn(record.corpus.corpus)}"
    head(
        figure,
        f"Neuron {record.name} of {drawn(record.model.model)}: "
        f"{record.neuron.io_class or 'no class'}\n{n_said}, and its sign cases",
    )
    return figure


def _ticks(linear: float, edge: float) -> list[float]:
    """0 and, on either side, one, two or five times powers of ten, as many as have room."""
    last = math.floor(math.log10(edge))
    powers = range(last, min(last, math.floor(math.log10(linear))) - 2, -1)
    outward = math.asinh(edge / linear)
    kept: list[float] = []
    room = math.inf
    for each in (float(f"{digit}e{power}") for power in powers for digit in (5, 2, 1)):
        place = math.asinh(each / linear) / outward
        if each <= edge and _ROOM <= place <= room:
            kept.append(each)
            room = place - _ROOM
    return [*(-each for each in kept), 0.0, *reversed(kept)]


def _samples(data: FigureData, record: NeuronRecord) -> npt.NDArray[np.float64]:
    assert record.corpus is not None
    try:
        rows = data.own_query(
            "neuron_samples",
            record.model,
            corpus=record.corpus.corpus,
            layer=record.id.layer,
            neuron=record.id.neuron,
        )
    except NotFoundError:
        return np.zeros(0)
    posts: npt.NDArray[np.float64] = rows["post"].to_numpy().astype(np.float64)
    return posts


def _histogram(axes: Axes, samples: npt.NDArray[np.float64], edge: float) -> None:
    """Bins are equally wide as they are drawn, the middle one around 0."""
    there, back = axes.xaxis.get_transform(), axes.xaxis.get_transform().inverted()
    (far,) = there.transform(np.array([edge]))
    bins = back.transform(np.linspace(-far, far, _N_BINS + 1))
    counts, _ = np.histogram(samples, bins)
    middles = (bins[1:] + bins[:-1]) / 2
    colours = [_POSITIVE if each > 0 else _NEGATIVE for each in middles]
    colours[_N_BINS // 2] = FAINT
    axes.bar(bins[:-1], counts, np.diff(bins), align="edge", color=colours, linewidth=0)
    axes.axvline(0, color=FAINT, linewidth=0.5, zorder=0)
    axes.set_ylabel("samples")


def _cases(axes: Axes, cases: dict[str, SignCase]) -> None:
    axes.axvline(0, color=FAINT, linewidth=0.5, zorder=0)
    for y, case in enumerate(cases.values()):
        statistics = case.statistics
        extreme, mean = statistics.extreme_post or 0.0, statistics.mean_post or 0.0
        colour = _POSITIVE if extreme > 0 else _NEGATIVE
        axes.plot((0, extreme), (y, y), color=colour, linewidth=0.8)
        axes.plot(mean, y, "o", color=colour, markersize=3.5)
        posts = [each.post for each in case.exemplars]
        strokes: dict[str, Any] = {"marker": "|", "markersize": 5, "markeredgewidth": 0.4}
        axes.plot(posts, [y] * len(posts), color=INK, linestyle="none", **strokes)
    labels = [f"{name}  {case.statistics.frequency:.1%}" for name, case in cases.items()]
    axes.set_yticks(range(len(cases)), labels)
    axes.set_ylim(len(cases) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize="small")
