"""The one place that makes bytes of what a page shows, in the format its address ends with."""

import io
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from catalog.errors import Command, HintPart, LimitReached, NotFoundError, Option, command_line
from catalog.formats import FORMATS
from catalog.formats.cells import dumped
from catalog.formats.glyphs import UNICODE
from catalog.pages.addresses import address, neuron_address
from catalog.pages.asking import Asked
from catalog.pages.shown import Shown
from catalog.reports.colours import CLASS_COLOURS
from catalog.reports.html import class_name
from catalog.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

HTML: Final = "text/html; charset=utf-8"
MEDIA_TYPES: Final = {
    None: HTML,
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "ids": "text/plain; charset=utf-8",
    "f32": "application/octet-stream",
}
"""By the ending of an address."""

_MOST_BYTES: Final = 64 * 1024 * 1024


def rendered(name: str, asked: Asked, shown: Shown, frame: Mapping[str, Any]) -> bytes:
    """What page `name` shows, in the format asked for.

    Raises:
        NotFoundError: the page has no such table, or none at all.
        LimitReached: it would be too large.
    """
    if asked.ending is None:
        has_json = bool(shown.tables) or shown.record is not None
        with_ids = [
            n for n, rows in shown.tables.items() if "neuron_id" in rows.arrow().column_names
        ]
        around = {
            "title": shown.title,
            "tables": shown.tables,
            "has_json": has_json,
            "with_ids": with_ids,
        }
        return html(name, {**around, **shown.said, **frame})
    if asked.ending == "json" and shown.record is not None and asked.text("table") is None:
        return (dumped(shown.record, indent=2) + "\n").encode()
    return data(_chosen(asked, shown), asked.ending)


def html(name: str, said: Mapping[str, Any]) -> bytes:
    """A template filled in."""
    return _environment().get_template(f"{name}.html").render(said).encode()


def data(rows: Rows, ending: str) -> bytes:
    """Rows in a format for programs.

    Raises:
        LimitReached: it would be too large.
    """
    table = rows.arrow()
    if table.nbytes > _MOST_BYTES:
        raise LimitReached(
            f"The answer has {table.nbytes / 1e6:,.0f} MB, more than the "
            f"{_MOST_BYTES / 1e6:,.0f} MB that a page may have.",
            "Ask for less, or in a terminal.",
        )
    if ending == "ids":
        return _ids(table)
    stream = io.BytesIO()
    if ending == "f32":
        for column in table.columns:
            stream.write(column.to_numpy().astype("<f4").tobytes())
    else:
        FORMATS[ending]([table], stream)
    return stream.getvalue()


def _ids(table: "pa.Table") -> bytes:
    """The neurons that rows name, one a line and each once, as `catalog find --in` reads them."""
    if "neuron_id" not in table.column_names:
        raise NotFoundError("These rows name no neurons: there is no column neuron_id.")
    ids = table.column("neuron_id").to_pylist()
    models = (
        table.column("model").to_pylist() if "model" in table.column_names else [None] * len(ids)
    )
    named = [
        f"{model}:{each}" if model else str(each) for model, each in zip(models, ids, strict=True)
    ]
    return "".join(f"{each}\n" for each in dict.fromkeys(named)).encode()


def _chosen(asked: Asked, shown: Shown) -> Rows:
    name = asked.text("table")
    if name is None and shown.tables:
        return next(iter(shown.tables.values()))
    if name is None or name not in shown.tables:
        there = ", ".join(shown.tables) or "none"
        raise NotFoundError(f"This page has no table {name or 'of its own'}; there is: {there}.")
    return shown.tables[name]


def in_page(part: HintPart) -> Markup:
    """A part of a hint on a page: options are parameters of the address, or of whoever serves."""
    match part:
        case Option("db" | "wait") | Command():
            return Markup("<code>{}</code>").format(command_line(part))
        case Option(name, value):
            return Markup("<code>{}={}</code>").format(name, value or "…")
    return escape(UNICODE.running(part))


def in_words(part: HintPart) -> str:
    """A part of a hint where there is no markup."""
    match part:
        case Option("db" | "wait") | Command():
            return command_line(part)
        case Option(name, value):
            return f"{name}={value or '…'}"
    return part


def _made_visible(value: Any) -> Any:
    """What a template prints: invisible characters made visible; escaping comes after."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return UNICODE.running(value)
    return value


def _as_is(text: object) -> Markup:
    """A text with its line ends and invisible characters, for the value of a field."""
    return escape("" if text is None else text)


def _lines(text: str) -> Markup:
    """A text of several lines, all else made visible."""
    return Markup("\n").join(map(UNICODE.running, text.splitlines()))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(str(Path(str(files(__package__))) / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_made_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "address": address,
        "neuron_address": neuron_address,
        "class_name": class_name,
        "io_classes": tuple(CLASS_COLOURS),
    }
    made.filters |= {
        "as_is": _as_is,
        "lines": _lines,
        "visible": UNICODE.visible,
    }
    return made
