"""Charts as SVG, drawn where they are served: no script, no style attribute, every mark says its
numbers when pointed at, and leads to what it counts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from markupsafe import Markup

from catalog.formats.glyphs import UNICODE
from catalog.reports.colours import CLASS_COLOURS

_NO_CLASS: Final = "#777777"

Address = Callable[[int, str], str | None]
"""Of the neurons of a layer and a class, if there is one."""


def class_bar(shares: Mapping[str, int], label: str) -> Markup:
    """Counts of IO classes as one bar, 240 by 12 units."""
    total = sum(shares.values()) or 1
    marks, left = [], 0.0
    for name, colour in CLASS_COLOURS.items():
        width = 240 * shares.get(name, 0) / total
        if width > 0:
            said = f"{name}: {shares[name]:,} ({100 * shares[name] / total:.1f}%)"
            marks.append(_rect(left, 0, width, 12, colour, said))
        left += width
    return _svg(240, 12, marks, label, "class-bar")


def median_line(medians: Sequence[float | None], label: str) -> Markup:
    """A median by layer as a small line over 120 by 28 units, from -0.7 to 0.7."""
    points = _points(medians, 120, 28, 0.7)
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = [
        '<line x1="0" y1="14" x2="120" y2="14" class="axis"/>',
        f'<polyline points="{drawn}" class="line"/>',
    ]
    return _svg(120, 28, marks, label, "spark")


def classes_by_layer(rows: Iterable[Mapping[str, Any]], leads: Address, label: str) -> Markup:
    """Shares of the IO classes by layer, stacked; rows of the named query."""
    counts: dict[int, dict[str, int]] = {}
    for row in rows:
        counts.setdefault(row["layer"], {})[row["io_class"] or ""] = row["neurons"]
    layers = range(max(counts, default=0) + 1)
    width, height, left, foot = 640, 260, 34, 32
    step = (width - left) / max(len(layers), 1)
    gap = min(2.0, step * 0.12)
    marks = [_tick_y(height, left, width, share) for share in (0, 0.25, 0.5, 0.75, 1)]
    for layer in layers:
        of = counts.get(layer, {})
        total = sum(of.values()) or 1
        top = float(height)
        for name in CLASS_COLOURS:
            part = height * of.get(name, 0) / total
            if part > 0:
                top -= part
                said = f"layer {layer}, {name}: {of[name]:,} ({100 * of[name] / total:.1f}%)"
                rect = _rect(
                    left + layer * step, top, step - gap, part, CLASS_COLOURS[name], said, 10
                )
                to = leads(layer, name)
                marks.append(rect if to is None else f'<a href="{escape(to)}">{rect}</a>')
    marks += _ticks_x(len(layers), left, step, height + 10)
    return _svg(width, height + 10 + foot, marks, label, "chart")


def medians_by_layer(rows: Sequence[Mapping[str, Any]], label: str) -> Markup:
    """Quartiles and median of cos(w_in, w_out) by layer: a band and a line."""
    width, height, left, foot = 640, 170, 34, 32
    n = max((row["layer"] for row in rows), default=0) + 1
    step = (width - left) / n
    edge = max([0.2, *(abs(row[q]) for row in rows for q in ("q1", "q3") if row[q] is not None)])

    def at(row: Mapping[str, Any], name: str) -> tuple[float, float]:
        x = left + (row["layer"] + 0.5) * step
        return x, 10 + height / 2 - row[name] / (1.1 * edge) * height / 2

    known = [row for row in rows if row["median"] is not None]
    band = [at(row, "q1") for row in known] + [at(row, "q3") for row in reversed(known)]
    line = [at(row, "median") for row in known]
    marks = [
        f'<line x1="{left}" y1="{10 + height / 2:g}" x2="{width}" y2="{10 + height / 2:g}" '
        'class="axis"/>',
        *(
            f'<text x="{left - 5}" y="{14 + height / 2 - value / (1.1 * edge) * height / 2:.1f}" '
            f'class="tick end">{value:+.2f}</text>'
            for value in (edge, 0.0, -edge)
        ),
        f'<polygon points="{_joined(band)}" class="band"/>',
        f'<polyline points="{_joined(line)}" class="line"/>',
    ]
    for row, (x, y) in zip(known, line, strict=True):
        said = (
            f"layer {row['layer']}: median {row['median']:+.3f}, quartiles {row['q1']:+.3f} and "
            f"{row['q3']:+.3f}"
        )
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="dot"><title>{said}</title></circle>'
        )
    marks += _ticks_x(n, left, step, height + 10)
    return _svg(width, height + 10 + foot, marks, label, "chart")


def histogram(values: Sequence[float], label: str, bins: int = 32) -> Markup:
    """How many values lie where, in bins of equal width; every bar says its range and count."""
    low, high = min(values), max(values)
    step = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / step))] += 1
    width, height, foot = 640, 110, 18
    most = max(counts)
    marks = []
    for at, count in enumerate(counts):
        if count:
            tall = max(1.0, height * count / most)
            said = f"{low + at * step:.3g} to {low + (at + 1) * step:.3g}: {count:,}"
            left = width / bins * at
            marks.append(
                f'<rect x="{left:.1f}" y="{height - tall:.1f}" width="{width / bins - 1:.1f}" '
                f'height="{tall:.1f}" class="count"><title>{said}</title></rect>'
            )
    marks.append(f'<line x1="0" y1="{height}" x2="{width}" y2="{height}" class="grid"/>')
    zero = -low / step * width / bins
    if 0 < zero < width:
        marks.append(
            f'<line x1="{zero:.1f}" y1="0" x2="{zero:.1f}" y2="{height}" class="axis"/>'
            f'<text x="{zero:.1f}" y="{height + 14}" class="tick mid">0</text>'
        )
    marks.append(f'<text x="0" y="{height + 14}" class="tick">{low:.3g}</text>')
    marks.append(f'<text x="{width}" y="{height + 14}" class="tick end">{high:.3g}</text>')
    return _svg(width, height + foot, marks, label, "chart histogram")


def _points(
    values: Sequence[float | None], width: float, height: float, edge: float
) -> list[tuple[float, float]]:
    step = width / max(len(values) - 1, 1)
    return [
        (at * step, height / 2 * (1 - max(-1.0, min(1.0, value / edge))))
        for at, value in enumerate(values)
        if value is not None
    ]


def _joined(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _tick_y(height: float, left: float, width: float, share: float) -> str:
    y = 10 + height * (1 - share)
    return (
        f'<line x1="{left}" y1="{y:g}" x2="{width}" y2="{y:g}" class="grid"/>'
        f'<text x="{left - 5}" y="{y + 4:g}" class="tick end">{100 * share:g}%</text>'
    )


def _ticks_x(n: int, left: float, step: float, bottom: float) -> list[str]:
    every = max(1, -(-n // 12))
    return [
        f'<text x="{left + (layer + 0.5) * step:.1f}" y="{bottom + 16:g}" class="tick mid">'
        f"{layer}</text>"
        for layer in range(0, n, every)
    ] + [f'<text x="{left + n * step / 2:.1f}" y="{bottom + 28:g}" class="tick mid">layer</text>']


def _rect(
    x: float, y: float, width: float, height: float, colour: str, said: str, down: float = 0
) -> str:
    return (
        f'<rect x="{x:.2f}" y="{y + down:.2f}" width="{width:.2f}" height="{height:.2f}" '
        f'fill="{colour}"><title>{escape(UNICODE.running(said))}</title></rect>'
    )


def _svg(width: float, height: float, marks: Iterable[str], label: str, name: str) -> Markup:
    said = escape(UNICODE.running(label))
    return Markup(
        f'<svg class="{name}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{said}">'
        f"{''.join(marks)}</svg>"
    )
