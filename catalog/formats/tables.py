"""Tables for reading: as wide as they are in a file, and as the screen allows on a terminal."""

import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from catalog.console import VisibleConsole

_LONG_WORD: Final = 20
"""Characters from which a word of a text may be broken; numbers never are."""

_GAP: Final = 3
_NARROW_GAP: Final = 2
"""Blanks between two columns."""

_PADDING: Final[dict[int, tuple[int, int, int, int]]] = {
    _GAP: (0, 1, 0, 1),
    _NARROW_GAP: (0, 1, 0, 0),
}
"""Rich's, around a cell, for a gap; between columns it sets one blank more."""


@dataclass(frozen=True)
class Column:
    """A name, and a cell for each row, visible texts."""

    name: str
    cells: Sequence[str]
    is_number: bool

    @property
    def width(self) -> int:
        """Of the widest line if nothing is folded."""
        return max(map(cell_len, [self.name, *self.cells]))

    @property
    def least(self) -> int:
        """The narrowest in which numbers stay whole, texts fold at blanks and names at `_`."""
        pieces = self.cells if self.is_number else [w for cell in self.cells for w in _words(cell)]
        longest = max(map(cell_len, pieces), default=1)
        longest = longest if self.is_number else min(longest, _LONG_WORD)
        return max(longest, *map(cell_len, _parts(self.name)))


_FEWEST: Final = 3
"""So many columns are still a table; fewer are better read as one row after another."""


def fitting(columns: Sequence[Column]) -> int:
    """How many of the first columns stand side by side on this terminal.

    All of them where they do, and where only so few would that the rows are drawn one after
    another.
    """
    width = VisibleConsole(sys.stdout).width
    n = len(columns)
    while n and sum(c.least for c in columns[:n]) + _NARROW_GAP * (n - 1) > width:
        n -= 1
    return n if n >= min(_FEWEST, len(columns)) else len(columns)


def drawn(columns: Sequence[Column], *, on_terminal: bool) -> str:
    """The columns side by side; on a terminal that is too narrow for that, one row after another.

    A pipe or file has no width: nothing is folded there, so that columns stay columns.
    """
    n_gaps = len(columns) - 1
    whole = sum(column.width for column in columns) + _GAP * n_gaps
    text = io.StringIO()
    console = VisibleConsole(
        text, width=None if on_terminal else max(80, whole), force_terminal=on_terminal
    )
    least = [column.least for column in columns]
    spare = console.width - _NARROW_GAP * n_gaps - sum(least)
    if whole <= console.width:
        console.print(_side_by_side(columns, [column.width for column in columns], _GAP))
    elif spare >= 0:
        console.print(_side_by_side(columns, _widened(columns, spare), _NARROW_GAP))
    else:
        for number, cells in enumerate(zip(*(c.cells for c in columns), strict=True), 1):
            console.print(_record(number, [column.name for column in columns], cells))
    return "".join(line.rstrip() + "\n" for line in text.getvalue().splitlines())


def _widened(columns: Sequence[Column], spare: int) -> list[int]:
    """Widths with `spare` given to those first that lack least: most names and cells stay whole."""
    widths = [column.least for column in columns]
    for at in sorted(range(len(columns)), key=lambda at: columns[at].width - widths[at]):
        given = max(0, min(spare, columns[at].width - widths[at]))
        widths[at] += given
        spare -= given
    return widths


def _side_by_side(columns: Sequence[Column], widths: Sequence[int], gap: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=_PADDING[gap])
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            Text(_folded(column.name, width)),
            justify="right" if column.is_number else "left",
            overflow="fold",
            width=width,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, row))
    return table


def _record(number: int, names: Sequence[str], row: Sequence[str]) -> Table:
    """Names and values of one row below each other."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.title, table.title_justify = f"row {number}", "left"
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in zip(names, row, strict=True):
        table.add_row(Text(name), Text(value))
    return table


def _words(cell: str) -> list[str]:
    """The words of a text, the first with the blanks before it: those are part of a token."""
    return re.findall(r"^\s+\S+|\S+", cell)


def _parts(name: str) -> list[str]:
    """What a name may be broken into: at blanks, and after underscores."""
    return re.findall(r"[^_\s]*_+|[^_\s]+", name) or [name]


def _folded(name: str, width: int) -> str:
    """A name in lines of that width, broken after underscores."""
    if cell_len(name) <= width:
        return name
    lines = [""]
    for part in _parts(name):
        if lines[-1] and cell_len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
