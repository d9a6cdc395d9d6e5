"""Files with descriptions, read piece by piece within bounds: they may be of any size."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from catalog.errors import UsageError
from catalog.store.plain_files import kind_of

LONGEST_LINE: Final = 64 << 20
"""Bytes of a line: those of Bills et al. hold simulations, a megabyte or so each."""

_JSON_LINES: Final = (".jsonl", ".jsonl.gz", ".json", ".ndjson")
_AT_ONCE: Final = 1_000
_LONGEST_REASON: Final = 500
"""Characters of a message: a file's names of columns may be of any length."""

Row = Mapping[str, Any]
Placed = tuple[str, Row]
"""A record and where it stands, for messages."""


def unreadable(where: object, why: object) -> UsageError:
    """The error for a file that is not what its format says."""
    reason = str(why)
    cut = reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + "…"
    return UsageError(f"{where}: {cut}. Nothing was imported.")


def json_rows(path: Path) -> Iterator[Placed]:
    """Objects of a file of JSON lines (or with one JSON list), or of all such files of a folder."""
    for file in _files(path, _JSON_LINES):
        for number, line in _lines(file):
            if not line.strip():
                continue
            where = f"{file}, line {number}"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise unreadable(where, f"no JSON ({error})") from None
            for row in value if isinstance(value, list) else [value]:
                if not isinstance(row, dict):
                    raise unreadable(where, "no JSON object")
                yield where, row


def json_file(path: Path) -> Any:
    """What one small JSON file holds."""
    _require_plain(path)
    if path.stat().st_size > LONGEST_LINE:
        raise unreadable(path, f"larger than {LONGEST_LINE >> 20} MiB")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise unreadable(path, f"no JSON ({error})") from None


def table_rows(path: Path) -> Iterator[Placed]:
    """Rows of a CSV, Parquet or JSON lines file, or of all such files of a folder."""
    for file in _files(path, (*_JSON_LINES, ".csv", ".csv.gz", ".parquet")):
        if file.name.endswith(_JSON_LINES):
            yield from json_rows(file)
        elif file.suffix == ".parquet":
            yield from _parquet_rows(file)
        else:
            yield from _csv_rows(file)


def require(row: Row, names: tuple[str, ...], where: str) -> None:
    """Refuse a row without some columns, naming them and what there is."""
    if missing := [name for name in names if name not in row]:
        there = ", ".join(map(str, list(row)[:20])) or "none"
        raise unreadable(where, f"lacks {', '.join(missing)}; it has: {there}")


def _files(path: Path, endings: tuple[str, ...]) -> list[Path]:
    if not path.exists():
        raise UsageError(f"There is no file {path}.")
    if not path.is_dir():
        _require_plain(path)
        return [path]
    found = sorted(file for file in path.rglob("*") if file.name.endswith(endings))
    if not found:
        raise unreadable(path, f"a folder without files {', '.join(endings)}")
    for file in found:
        _require_plain(file)
    return found


def _require_plain(file: Path) -> None:
    """Refuse what may never end."""
    if kind := kind_of(file):
        raise unreadable(file, f"{kind}, and no plain file")


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
            yield opened  # type: ignore[misc]
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise unreadable(file, f"no gzip file, or cut off ({error})") from None


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    with _opened(file) as opened:
        for number, line in enumerate(iter(lambda: opened.readline(LONGEST_LINE + 1), b""), 1):
            if len(line) > LONGEST_LINE:
                raise unreadable(f"{file}, line {number}", f"over {LONGEST_LINE >> 20} MiB long")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise unreadable(f"{file}, line {number}", f"no UTF-8 ({error.reason})") from None
            yield number, text


def _csv_rows(file: Path) -> Iterator[Placed]:
    rows = csv.DictReader((line for _, line in _lines(file)), strict=True)
    try:
        for row in rows:
            where = f"{file}, line {rows.line_num}"
            if None in row or None in row.values():
                raise unreadable(where, f"not the {len(rows.fieldnames or ())} values of its head")
            yield where, row
    except csv.Error as error:
        raise unreadable(f"{file}, line {rows.line_num}", f"no CSV ({error})") from None


def _parquet_rows(file: Path) -> Iterator[Placed]:
    """Rows of plain columns. Texts are kept once and repeated a row at a time, as the file does:

    a kilobyte of it may stand for gigabytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        plain = [field for field in pq.read_schema(file) if not pa.types.is_nested(field.type)]
        names = [field.name for field in plain]
        with pq.ParquetFile(file, read_dictionary=names) as opened:
            at = 0
            for batch in opened.iter_batches(_AT_ONCE, columns=names):
                for values in zip(*batch.columns, strict=True):
                    at += 1
                    row = {name: value.as_py() for name, value in zip(names, values, strict=True)}
                    yield f"{file}, row {at}", row
    except pa.ArrowException as error:
        raise unreadable(file, f"no Parquet file ({error})") from None
