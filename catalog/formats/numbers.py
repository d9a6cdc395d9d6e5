"""How many digits of a number are shown to a reader; files keep all of them."""

import math
from typing import Final

_LARGEST_WHOLE: Final = 1e15


def meaningful(value: float, digits: int = 4, *, signed: bool = False) -> str:
    """A number to so many significant digits, whole ones never cut: 55.57, 0.00123, 640620."""
    sign = "+" if signed else ""
    if math.isfinite(value) and 10**digits <= abs(value) < _LARGEST_WHOLE:
        return f"{value:{sign}.0f}"
    return f"{value:{sign}.{digits}g}"
