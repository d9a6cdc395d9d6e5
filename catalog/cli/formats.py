"""Writing rows: one function per format, found by its name.

A format is given an Arrow table and a binary stream. Adding one means adding one function here.
"""

import csv
import datetime
import io
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from catalog.cli.messages import note
from catalog.cli.output import output_stream
from catalog.errors import SqlError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Writer = Callable[["pa.Table", IO[bytes]], None]


def _table(rows: "pa.Table", stream: IO[bytes]) -> None:
    from catalog.cli.tables import Column, drawn

    columns = [
        Column(
            field.name,
            [_cell(value) for value in column.to_pylist(maps_as_pydicts=None)],
            str(field.type).startswith(("int", "float", "double", "uint", "decimal")),
        )
        for field, column in zip(rows.schema, rows.columns, strict=True)
    ]
    on_terminal = stream is sys.stdout.buffer and sys.stdout.isatty()
    stream.write(drawn(columns, on_terminal=on_terminal).encode(errors="replace"))


def _shortest_floats(rows: "pa.Table") -> "pa.Table":
    """float32 values as the float64 that prints as shortly: 0.1 and not 0.10000000149011612."""
    import pyarrow as pa

    for at, field in enumerate(rows.schema):
        is_list = pa.types.is_list(field.type)
        if pa.types.is_float32(field.type.value_type if is_list else field.type):
            text, double = pa.string(), pa.float64()
            types = (pa.list_(text), pa.list_(double)) if is_list else (text, double)
            column = rows.column(at).cast(types[0]).cast(types[1])
            rows = rows.set_column(at, field.name, column)
    return rows


def _csv(rows: "pa.Table", stream: IO[bytes]) -> None:
    rows = _shortest_floats(rows)
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.column_names)
    for batch in rows.to_batches(max_chunksize=10_000):
        columns = [column.to_pylist() for column in batch.columns]
        writer.writerows([_csv_cell(value) for value in row] for row in zip(*columns, strict=True))
    text.detach()


def _json(rows: "pa.Table", stream: IO[bytes]) -> None:
    rows = _shortest_floats(rows)
    names = rows.column_names
    separator = "[\n"
    for batch in rows.to_batches(max_chunksize=10_000):
        columns = [column.to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True):
            record = {name: _json_value(value) for name, value in zip(names, row, strict=True)}
            stream.write((separator + json.dumps(record, ensure_ascii=False)).encode())
            separator = ",\n"
    stream.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def _jsonl(rows: "pa.Table", stream: IO[bytes]) -> None:
    rows = _shortest_floats(rows)
    for batch in rows.to_batches(max_chunksize=10_000):
        for record in batch.to_pylist():
            stream.write((json.dumps(_json_value(record), ensure_ascii=False) + "\n").encode())


def _markdown(rows: "pa.Table", stream: IO[bytes]) -> None:
    lines = [rows.column_names, ["---"] * rows.num_columns]
    lines += [[_cell(value) for value in row.values()] for row in rows.to_pylist()]
    for line in lines:
        cells = (cell.replace("|", "\\|") for cell in line)
        stream.write(f"| {' | '.join(cells)} |\n".encode())


def _parquet(rows: "pa.Table", stream: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    if stream is sys.stdout.buffer and sys.stdout.isatty():
        raise UsageError("Parquet is binary. Name a file with --output FILE.parquet.")
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    stream.write(sink.getvalue())


FORMATS: Final[dict[str, Writer]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "markdown": _markdown,
    "parquet": _parquet,
}
"""Formats by their name on the command line, which is also the ending of a file."""


LIMITED: Final = ("table", "markdown")
"""Formats for reading, of which `--max-rows` shows the beginning."""


def chosen_format(format_name: str | None, output: Path | None) -> str:
    """The format asked for, else that of the file's ending, else `table`."""
    ending = output.suffix.lstrip(".").lower() if output else ""
    return format_name or (ending if ending in FORMATS else "table")


def write_rows(
    rows: "pa.Table", format_name: str | None, output: Path | None, max_rows: int
) -> None:
    """Write rows to standard output or a file; what a table leaves out is announced."""
    name = chosen_format(format_name, output)
    shown = rows
    if name in LIMITED and max_rows and rows.num_rows > max_rows:
        shown = rows.slice(0, max_rows)
    try:
        with _stream(output) as stream:
            FORMATS[name](shown, stream)
    except OverflowError as error:
        raise SqlError(
            f"A value has no form in {name}: {error}. Cast it to text in SQL."
        ) from error
    if shown.num_rows < rows.num_rows:
        note(
            f"The first {shown.num_rows:,} rows are shown, there are more. --max-rows 0 shows all; "
            "so does --format csv, json or parquet."
        )
    if output:
        note(f"{shown.num_rows:,} rows written to {output}")
    elif name in LIMITED and not rows.num_rows:
        note("There are no such rows.")


@contextmanager
def _stream(output: Path | None) -> Iterator[IO[bytes]]:
    if output is None:
        yield sys.stdout.buffer
        return
    with output_stream(output) as stream:
        yield stream


def _cell(value: Any) -> str:
    """One value in a table: floats to six digits, control characters escaped."""
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "[" + ", ".join(_cell(item) for item in value) + "]"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def _csv_cell(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return json.dumps(_json_value(value), ensure_ascii=False)
    return value


def _json_value(value: Any) -> Any:
    """What JSON can hold: NaN and infinities become null, times ISO 8601, bytes hexadecimal."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


def json_text(value: Any) -> str:
    """A value as indented JSON."""
    return json.dumps(_json_value(value), indent=2, ensure_ascii=False)
