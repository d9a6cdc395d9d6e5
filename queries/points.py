"""Neurons as points of a plane, for the map: two quantities, a colour, and what a line encloses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from catalog.errors import UsageError
from catalog.queries.parameters import require_known
from catalog.queries.sql import sql_text
from catalog.store.handle import Handle
from catalog.store.reading import run_query
from catalog.taxonomy import FUNCTIONAL_ROLES, IO_CLASSES

if TYPE_CHECKING:
    import pyarrow as pa

QUANTITIES: Final = (
    *("cos_gate_out", "cos_in_out", "cos_gate_in"),
    *("norm_gate", "norm_in", "norm_out"),
    *("vocab_variance", "vocab_skew", "vocab_kurtosis", "null_space_share", "layer"),
)
COLOURS: Final = (
    *("io_class", "role", "cos_gate_in", "cos_gate_out", "cos_in_out", "vocab_skew", "layer"),
)
_MOST_CORNERS: Final = 512


@dataclass(frozen=True)
class Plane:
    """Which points: quantities of `QUANTITIES`, a colour of `COLOURS`, one layer or all.

    `lasso`: corners of a closed line, as pairs of x and y; only what it encloses is a point.

    Raises UsageError for a quantity that there is not, or a line of other than 3 to 512 corners.
    """

    model: str
    x: str = "cos_gate_out"
    y: str = "cos_in_out"
    colour: str = "io_class"
    layer: int | None = None
    lasso: Sequence[tuple[float, float]] = ()

    def __post_init__(self) -> None:
        for name, choices in (("x", QUANTITIES), ("y", QUANTITIES), ("colour", COLOURS)):
            value = getattr(self, name)
            if value not in choices:
                raise UsageError(f"{name} is {value!r}; there is: {', '.join(choices)}.")
        if self.lasso and not 3 <= len(self.lasso) <= _MOST_CORNERS:
            raise UsageError(f"A lasso has 3 to {_MOST_CORNERS} corners, not {len(self.lasso)}.")


def points(catalog: Handle, plane: Plane) -> "pa.Table":
    """layer, neuron, x, y and colour of the points; NULL and infinite values have no place.

    A colour of classes or roles is the place in the lists of `catalog.taxonomy`.

    Raises:
        NotFoundError: the catalog has no such model or layer.
    """
    asked = {
        "model": plane.model,
        "x": plane.x,
        "y": plane.y,
        "colour": plane.colour,
        "layer": plane.layer,
        "classes": list(IO_CLASSES),
        "roles": list(FUNCTIONAL_ROLES),
    }
    with catalog.reading() as connection:
        given = [("model", plane.model), ("layer", plane.layer)]
        require_known(connection, given, catalog)
        found = run_query(connection, sql_text("points"), asked, catalog.location)
    if not plane.lasso:
        return found
    x, y = (found[name].to_numpy() for name in "xy")
    return found.filter(_enclosed(x, y, plane.lasso))


def _enclosed(x: np.ndarray, y: np.ndarray, corners: Sequence[tuple[float, float]]) -> np.ndarray:
    """Which points [n] lie within a closed line, by the even-odd rule."""
    inside = np.zeros(len(x), bool)
    for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside
