"""Rows for sharing: one CSV or JSON Lines file per view, in a folder or at a URL."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from catalog.errors import DatabaseError
from catalog.store.lake.manifest import MANIFEST
from catalog.store.lake.source import Layout, SourceRows
from catalog.store.lake.storage import Storage
from catalog.store.location import Location
from catalog.views import VIEWS, View

if TYPE_CHECKING:
    import pyarrow as pa

Write = Callable[[IO[bytes], Iterable["pa.Table"]], None]


def export_text(
    source: SourceRows,
    target: Location,
    format_name: str,
    asked: Sequence[str] = (),
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Write `<view>.csv` or `<view>.jsonl` with the rows of the models, one after another.

    Lists stand in CSV as JSON.

    Raises:
        NotFoundError: no such model.
        DatabaseError: a file is there already (not with `force`), or a lake, or the source changed
            meanwhile.
        EnvironmentFault: the target cannot be written.
    """
    storage = Storage(target)
    if storage.exists(MANIFEST):
        raise DatabaseError(f"{target} is a lake of Parquet files. Name another folder.")
    aliases = source.chosen(asked)
    names = {view.name: f"{view.name}.{format_name}" for view in VIEWS}
    there = [name for name in names.values() if storage.exists(name)]
    if there and not force:
        raise DatabaseError(
            f"{target} holds {', '.join(there)} already. Name another folder, or write it "
            "anew with --force."
        )
    expressions, write = TEXT_FORMATS[format_name]
    layouts = source.layouts(VIEWS)
    with _all_or_none(storage) as written:
        for view in VIEWS:
            select = expressions(layouts[view.name])
            with storage.writing(names[view.name]) as stream:
                write(stream, _tables(source, view, aliases, select))
            written.append(names[view.name])
            say(f"{target}: {names[view.name]} written")


@contextmanager
def _all_or_none(storage: Storage) -> Iterator[list[str]]:
    """A list for the files that were written, which are removed if the block ends badly."""
    written: list[str] = []
    try:
        yield written
    except BaseException:
        for name in written:
            storage.remove(name)
        raise


def _tables(
    source: SourceRows, view: View, aliases: Sequence[str], select: str
) -> "Iterable[pa.Table]":
    yield source.no_rows(view, select)
    for alias in aliases:
        with source.unchanged(alias):
            yield from source.slices(view, alias, select)


def _csv_columns(layout: Layout) -> str:
    return ", ".join(
        f"to_json({name})::varchar as {name}" if kind.endswith("[]") else name
        for name, kind in layout.columns.items()
    )


def _write_csv(stream: IO[bytes], tables: "Iterable[pa.Table]") -> None:
    from pyarrow import csv

    parts = iter(tables)
    header = next(parts)
    with csv.CSVWriter(stream, header.schema) as writer:
        for rows in parts:
            writer.write_table(rows)


def _json_object(layout: Layout) -> str:
    fields = ", ".join(f"'{name}': {name}" for name in layout.columns)
    return f"to_json({{{fields}}})::varchar as line"


def _write_lines(stream: IO[bytes], tables: "Iterable[pa.Table]") -> None:
    for rows in tables:
        for batch in rows.to_batches(max_chunksize=10_000):
            stream.write("".join(f"{line}\n" for line in batch[0].to_pylist()).encode())


TEXT_FORMATS: Final[dict[str, tuple[Callable[[Layout], str], Write]]] = {
    "csv": (_csv_columns, _write_csv),
    "jsonl": (_json_object, _write_lines),
}
"""By name: the expressions that are read of a view, and what writes them."""
