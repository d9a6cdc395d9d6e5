"""Rows on a page: sorted by any column, a part at a time, with links to what they name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from catalog.errors import UsageError
from catalog.formats.glyphs import UNICODE
from catalog.pages.addresses import address, neuron_address
from catalog.pages.asking import Asked
from catalog.reports.html import class_name
from catalog.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST: Final = 400
"""Characters of a cell that are shown; the data formats have all."""


@dataclass(frozen=True)
class Part:
    """Words of a cell, and where they lead; `style` is a CSS class."""

    text: str
    address: str | None = None
    style: str = ""


@dataclass(frozen=True)
class Column:
    """The head of a column: the address that sorts by it, and how it is sorted now."""

    name: str
    address: str | None
    sorted: str
    is_number: bool


@dataclass(frozen=True)
class Listing:
    """A part of a table, ready for the template.

    `first`: number of its first row, from 1. `total`: of all rows, None where nobody counted.
    """

    columns: Sequence[Column]
    cells: Sequence[Sequence[Sequence[Part]]]
    first: int
    total: int | None
    before: str | None
    after: str | None

    @property
    def last(self) -> int:
        """Number of its last row."""
        return self.first + len(self.cells) - 1


def sorted_rows(asked: Asked, rows: Rows, name: str = "sort") -> Rows:
    """The rows in the order that the parameter asks for: a column, or `-column` for the largest.

    Equal rows stay in the order they came in.

    Raises:
        UsageError: there is no such column.
    """
    order = asked.text(name)
    if order is None:
        return rows
    import pyarrow as pa
    import pyarrow.compute as pc

    table = rows.arrow()
    column = order.removeprefix("-")
    if column not in table.column_names:
        names = ", ".join(table.column_names)
        raise UsageError(f"There is no column {column!r} to sort by; there is: {names}.")
    place = "__place"
    values = table.column(column)
    if pa.types.is_nested(values.type):
        raise UsageError(f"{column} holds lists, which have no order.")
    keys = pa.table({"value": values, place: pa.array(range(len(table)))})
    way = "descending" if order.startswith("-") else "ascending"
    indices = pc.sort_indices(keys, sort_keys=[("value", way), (place, "ascending")])
    return Rows(table.take(indices), rows.notes)


def listed(
    asked: Asked,
    rows: Rows,
    here: Sequence[str | int],
    *,
    model: str | None = None,
    sort: str | None = "sort",
    page: str = "page",
) -> Listing:
    """A page's part of rows that are all there, sorted already as the parameter `sort` says."""
    table = rows.arrow()
    size = asked.settings.per_page
    at = asked.integer(page, 1) or 1
    first = (at - 1) * size
    part = table.slice(first, size) if first < len(table) else table.slice(0, 0)

    def numbered(number: int) -> str:
        return address(*here, parameters=asked.changed(**{page: number}))

    return Listing(
        _columns(asked, table, here, sort, page),
        cells(part, model),
        first + 1,
        len(table),
        numbered(at - 1) if at > 1 else None,
        numbered(at + 1) if first + size < len(table) else None,
    )


def _columns(
    asked: Asked, table: "pa.Table", here: Sequence[str | int], sort: str | None, page: str
) -> list[Column]:
    now = asked.text(sort) if sort else None
    columns = []
    for each in table.schema:
        descending = now == f"-{each.name}"
        way = "descending" if descending else "ascending" if now == each.name else ""
        following = each.name if descending else f"-{each.name}"
        if not is_number(each) and now != each.name:
            following = each.name
        parameters = asked.changed(**{sort: following, page: None}) if sort else []
        leads = address(*here, parameters=parameters) if sort else None
        columns.append(Column(each.name, leads, way, is_number(each)))
    return columns


def is_number(column: "pa.Field") -> bool:
    """Whether a column of a table holds numbers."""
    return str(column.type).startswith(("int", "float", "double", "uint", "decimal"))


def cells(table: "pa.Table", model: str | None = None) -> list[list[list[Part]]]:
    """The cells of rows, row by row; `model` is that of neurons in rows that name none."""
    makers = [_MAKERS.get(name, _decimal(name)) for name in table.column_names]
    return [
        [make(value, row, model) for make, value in zip(makers, row.values(), strict=True)]
        for row in table.to_pylist(maps_as_pydicts="lossy")
    ]


def _decimal(name: str) -> "_Maker":
    """How values of a column without a page are written: cosines with three decimals."""
    return _cosine_cell if name.startswith("cos_") else _value


_Row = dict[str, Any]
_Maker = Callable[[Any, _Row, str | None], list["Part"]]
_NULL: Final = [Part("NULL", style="null")]


def _value(value: Any, _row: _Row, _model: str | None) -> list[Part]:
    return _NULL if value is None else [Part(_shortened(shown(value)))]


def _cosine_cell(value: Any, row: _Row, model: str | None) -> list[Part]:
    return [Part(f"{value:.3f}")] if isinstance(value, float) else _value(value, row, model)


def _model_cell(value: Any, row: _Row, model: str | None) -> list[Part]:
    if not isinstance(value, str):
        return _value(value, row, model)
    return [Part(_shortened(value), address("m", value))]


def _neuron_cell(value: Any, row: _Row, model: str | None) -> list[Part]:
    of = row.get("model", model)
    layer, dot, neuron = str(value).partition(".")
    if not (isinstance(of, str) and dot and layer.isdigit() and neuron.isdigit()):
        return _value(value, row, model)
    return [Part(str(value), neuron_address(of, str(value)), "id")]


def _token_cell(value: Any, row: _Row, model: str | None) -> list[Part]:
    tokens = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in tokens):
        return _value(value, row, model)
    return [
        Part(_shortened(UNICODE.visible(each)), address("tokens", each), "token") for each in tokens
    ]


def _class_cell(value: Any, row: _Row, model: str | None) -> list[Part]:
    if not isinstance(value, str):
        return _value(value, row, model)
    return [Part(value, None, f"io-class {class_name(value)}")]


def _query_cell(value: Any, row: _Row, model: str | None) -> list[Part]:
    if not isinstance(value, str):
        return _value(value, row, model)
    return [Part(value, address("queries", value))]


_MAKERS: Final[dict[str, _Maker]] = {
    "model": _model_cell,
    "neuron_id": _neuron_cell,
    "token": _token_cell,
    "next_token": _token_cell,
    "tokens": _token_cell,
    "io_class": _class_cell,
    "query": _query_cell,
}
"""Cells of columns that name something which has a page, by the column's name."""


def shown(value: Any) -> str:
    """One value as it is read: floats to six digits."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}{UNICODE.more}"
