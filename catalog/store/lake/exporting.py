"""Writing a lake: one model after another, a slice at a time, the manifest after each model."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from catalog.errors import AliasTaken, DatabaseError, DatabaseMissing, Option
from catalog.store.lake.manifest import (
    LakeFile,
    Manifest,
    file_name,
    fits_a_folder,
    read_manifest,
    write_manifest,
)
from catalog.store.lake.source import Layout, SourceRows
from catalog.store.lake.storage import Storage
from catalog.store.location import Location
from catalog.views import VIEWS, View


def export_lake(
    source: SourceRows,
    target: Location,
    asked: Sequence[str] = (),
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Write models into a lake, made if need be.

    A model is in the lake once the manifest names it. An interrupted export leaves files that the
    manifest does not name; the next one writes them anew. Without `asked`, models that are there
    already are left as they are.

    Raises:
        NotFoundError: no such model.
        AliasTaken: a model that was asked for, or every model, is there already; not with `force`.
        DatabaseError: the source changed meanwhile, or the target is no lake of this version.
        EnvironmentFault: the target cannot be written.
    """
    storage = Storage(target)
    aliases = source.chosen(asked)
    held = _manifest(storage).models
    there = [] if force else [alias for alias in aliases if alias in held]
    if there and (asked or there == aliases):
        raise AliasTaken(
            f"The lake {target} holds {', '.join(there)} already.",
            "Leave it out, or write it anew with ",
            Option("force"),
            ".",
        )
    for alias in there:
        say(f"{alias} is in the lake already and left as it is")
    if too_long := [alias for alias in aliases if not fits_a_folder(alias)]:
        raise DatabaseError(
            f"The alias {too_long[0][:40]}… is too long for the name of a folder, so a lake cannot "
            "hold it.",
            "Write a catalog file with ",
            Option("format", "duckdb"),
            ", or leave it out.",
        )
    layouts = source.layouts(VIEWS)
    columns = {view: layout.columns for view, layout in layouts.items()}
    for alias in aliases:
        if alias not in there:
            files = _export_model(source, storage, alias, layouts)
            # Read again, for another export may have added its models meanwhile.
            write_manifest(storage, _manifest(storage).with_model(alias, files, columns))
            say(f"{alias}: {sum(file.rows for file in files.values()):,} rows in {target}")


def _manifest(storage: Storage) -> Manifest:
    try:
        return read_manifest(storage)
    except DatabaseMissing:
        return Manifest()


def _export_model(
    source: SourceRows, storage: Storage, alias: str, layouts: Mapping[str, Layout]
) -> dict[str, LakeFile]:
    manifest = _manifest(storage)
    if alias in manifest.models:
        write_manifest(storage, manifest.without_model(alias))
    with source.unchanged(alias):
        return {
            view.name: _write_file(source, storage, alias, view, layouts[view.name])
            for view in VIEWS
        }


def _write_file(
    source: SourceRows, storage: Storage, alias: str, view: View, layout: Layout
) -> LakeFile:
    import pyarrow.parquet as pq

    schema = source.no_rows(view, layout.stored).schema
    n_rows = 0
    with storage.writing(file_name(view.name, alias)) as file:
        stream = _Digesting(file)
        with pq.ParquetWriter(stream, schema, compression="zstd", write_page_index=True) as writer:
            for rows in source.slices(view, alias, layout.stored):
                n_rows += rows.num_rows
                writer.write_table(rows, row_group_size=view.row_group)
        return LakeFile(n_rows, stream.tell(), stream.digest)


class _Digesting:
    """A stream to write to, and the SHA-256 of what was written."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> str:
        """In hexadecimal."""
        return self._sha256.hexdigest()

    def write(self, written: bytes) -> int:
        """Write bytes, all of them."""
        self._sha256.update(written)
        return self._stream.write(written)

    def tell(self) -> int:
        """How many bytes were written."""
        return self._stream.tell()

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._stream.flush()
