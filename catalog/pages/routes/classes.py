"""The IO classes made tangible: three vectors to turn, their cosines, class and response."""

import math
from typing import Final

from markupsafe import Markup

from catalog.errors import UsageError
from catalog.pages.asking import Asked
from catalog.pages.shown import Shown
from catalog.reports.colours import CLASS_COLOURS, VECTOR_COLOURS

PATH: Final = "/classes"

_ANGLES: Final = {"gate": 20, "in": 75, "out": 35}
_GRID: Final = (
    ("T(in, out) = +1", "enrichment", "conditional enrichment"),
    ("T(in, out) = 0", "proportional change", "orthogonal output"),
    ("T(in, out) = -1", "depletion", "conditional depletion"),
)
_RADIUS: Final = 90


def show(asked: Asked) -> Shown:
    """The class of three vectors in a plane, at angles in degrees."""
    angles = {name: _angle(asked, name, usual) for name, usual in _ANGLES.items()}
    cosines = {
        f"cos_{a}_{b}": math.cos(math.radians(angles[a] - angles[b]))
        for a, b in (("gate", "in"), ("gate", "out"), ("in", "out"))
    }
    io_class, is_atypical = asked.catalog.classified(**cosines)
    return Shown(
        "IO classes",
        record={
            "angles": angles,
            "cosines": cosines,
            "io_class": io_class,
            "atypical": is_atypical,
        },
        said={
            "angles": angles,
            "cosines": cosines,
            "io_class": io_class,
            "is_atypical": is_atypical,
            "grid": _GRID,
            "colours": CLASS_COLOURS,
            "vector_colours": VECTOR_COLOURS,
            "picture": _picture(angles),
        },
    )


def _angle(asked: Asked, name: str, usual: int) -> float:
    text = asked.text(name)
    try:
        value = float(text) if text is not None else float(usual)
    except ValueError:
        raise UsageError(f"{name} is {text!r}; it must be an angle in degrees.") from None
    if not abs(value) <= 360:
        raise UsageError(f"{name} is {text!r}; it must lie between -360 and 360 degrees.")
    return value


def _picture(angles: dict[str, float]) -> Markup:
    """The three vectors as arrows that a script can turn."""
    marks = []
    for name, angle in angles.items():
        x = _RADIUS * math.cos(math.radians(angle))
        y = -_RADIUS * math.sin(math.radians(angle))
        marks.append(
            f'<g class="vector" data-vector="{name}"><line x1="0" y1="0" x2="{x:.2f}" y2="{y:.2f}" '
            f'stroke="{VECTOR_COLOURS[name]}"/><circle cx="{x:.2f}" cy="{y:.2f}" r="8" '
            f'fill="{VECTOR_COLOURS[name]}"/><text x="{1.17 * x:.2f}" y="{1.17 * y + 4:.2f}" '
            f'class="tick mid">{name}</text></g>'
        )
    circle = f'<circle cx="0" cy="0" r="{_RADIUS}" class="unit"/>'
    return Markup(
        '<svg id="vectors" viewBox="-120 -120 240 240" role="img" '
        f'aria-label="Three vectors">{circle}{"".join(marks)}</svg>'
    )
