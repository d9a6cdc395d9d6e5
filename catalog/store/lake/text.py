"""Rows for sharing: one CSV or JSON Lines file per view, in a folder or at a URL."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from catalog.errors import DatabaseError, Option
from catalog.formats import FORMATS
from catalog.store.lake.manifest import MANIFEST
from catalog.store.lake.source import Layout, SourceRows
from catalog.store.lake.storage import Storage
from catalog.store.location import Location
from catalog.views import VIEWS, View

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_FORMATS: Final = ("csv", "jsonl")


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
            f"{target} holds {', '.join(there)} already.",
            "Name another folder, or write it anew with ",
            Option("force"),
            ".",
        )
    layouts = source.layouts(VIEWS)
    with _all_or_none(storage) as written, ExitStack() as unchanged:
        for alias in aliases:
            unchanged.enter_context(source.unchanged(alias))
        for view in VIEWS:
            tables = _tables(source, view, aliases, layouts[view.name])
            with storage.writing(names[view.name]) as stream:
                FORMATS[format_name](tables, stream)
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
    source: SourceRows, view: View, aliases: Sequence[str], layout: Layout
) -> "Iterable[pa.Table]":
    columns = ", ".join(layout.columns)
    yield source.no_rows(view, columns)
    for alias in aliases:
        yield from source.slices(view, alias, columns)
