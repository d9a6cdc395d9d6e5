"""Writing rows: one function per format, found by its name; adding a format means adding one.

A writer is given tables of one schema, at least one, and a binary stream.
"""

import io
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Any, Final

from catalog.errors import Option, UsageError
from catalog.formats.glyphs import UNICODE
from catalog.formats.numbers import meaningful
from catalog.visible import visible, write_drawn

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.formats.tables import Column

Writer = Callable[[Iterable["pa.Table"], IO[bytes]], None]

_ROWS_AT_ONCE: Final = 10_000


def _table(tables: "Iterable[pa.Table]", stream: IO[bytes]) -> None:
    from catalog.formats.tables import drawn

    write_drawn(stream, drawn(_columns(_whole(tables)), on_terminal=stream.isatty()))


def n_fitting(table: "pa.Table") -> int:
    """How many of the first columns a table on this terminal has room for; all where too few."""
    from catalog.formats.tables import fitting

    return fitting(_columns(table))


def _markdown(tables: "Iterable[pa.Table]", stream: IO[bytes]) -> None:
    rows = _whole(tables)
    lines = [list(map(visible, rows.column_names)), ["---"] * rows.num_columns]
    lines += [[_shown(value) for value in row.values()] for row in rows.to_pylist()]
    for line in lines:
        cells = (cell.replace("|", "\\|") for cell in line)
        stream.write(f"| {' | '.join(cells)} |\n".encode())


def _csv(tables: "Iterable[pa.Table]", stream: IO[bytes]) -> None:
    from catalog.formats.cells import csv_cells, quoted

    for at, rows in enumerate(tables):
        if at == 0:
            stream.write((",".join(map(quoted, rows.column_names)) + "\n").encode())
        for batch in rows.to_batches(max_chunksize=_ROWS_AT_ONCE):
            columns = [csv_cells(f, c) for f, c in zip(rows.schema, batch.columns, strict=True)]
            stream.write(
                "".join(f"{','.join(row)}\n" for row in zip(*columns, strict=True)).encode()
            )


def _json(tables: "Iterable[pa.Table]", stream: IO[bytes]) -> None:
    separator = "[\n"
    for line in _objects(tables):
        stream.write((separator + line).encode())
        separator = ",\n"
    stream.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def _jsonl(tables: "Iterable[pa.Table]", stream: IO[bytes]) -> None:
    for line in _objects(tables):
        stream.write((line + "\n").encode())


def _parquet(tables: "Iterable[pa.Table]", stream: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    if stream.isatty():
        raise UsageError(
            "Parquet is binary.", "Name a file with ", Option("output", "FILE.parquet"), "."
        )
    sink = io.BytesIO()
    pq.write_table(_whole(tables), sink, compression="zstd")
    stream.write(sink.getvalue())


FORMATS: Final[dict[str, Writer]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "markdown": _markdown,
    "parquet": _parquet,
}
"""Formats by their name, which is also an ending of a file."""

ENDINGS: Final = {**{name: name for name in FORMATS}, "txt": "table", "md": "markdown"}
"""Formats by the endings of files."""

LIMITED: Final = ("table", "markdown")
"""Formats for reading, of which the beginning is shown where there are many rows."""


def _columns(rows: "pa.Table") -> "list[Column]":
    from catalog.formats.tables import Column

    return [
        Column(
            visible(field.name),
            [_shown(value) for value in column.to_pylist(maps_as_pydicts=None)],
            str(field.type).startswith(("int", "float", "double", "uint", "decimal")),
        )
        for field, column in zip(rows.schema, rows.columns, strict=True)
    ]


def _whole(tables: "Iterable[pa.Table]") -> "pa.Table":
    import pyarrow as pa

    return pa.concat_tables(tables)


def _objects(tables: "Iterable[pa.Table]") -> Iterable[str]:
    """Each row as a JSON object."""
    from catalog.formats.cells import dumped, json_cells

    for rows in tables:
        names = [f"{dumped(name)}: " for name in rows.column_names]
        for batch in rows.to_batches(max_chunksize=_ROWS_AT_ONCE):
            columns = [
                [name + cell for cell in json_cells(field, column)]
                for name, field, column in zip(names, rows.schema, batch.columns, strict=True)
            ]
            for row in zip(*columns, strict=True):
                yield "{" + ", ".join(row) + "}"


def _shown(value: Any) -> str:
    """One value in a table: floats to four digits, control characters escaped, in lists (which
    are mostly of tokens) the white space at the ends of texts made visible."""
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return meaningful(value)
    if isinstance(value, list):
        items = (UNICODE.visible(item) if isinstance(item, str) else _shown(item) for item in value)
        return "[" + ", ".join(items) + "]"
    return visible(str(value))
