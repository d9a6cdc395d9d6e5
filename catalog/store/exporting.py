"""Models of a catalog written elsewhere: a lake, text files, or a catalog file of their own."""

from collections.abc import Callable, Sequence
from pathlib import Path

from catalog.errors import Option, UsageError
from catalog.store.combining import copy_entries
from catalog.store.handle import Handle
from catalog.store.lake.exporting import export_lake
from catalog.store.lake.source import SourceRows
from catalog.store.lake.text import export_text
from catalog.store.location import Location


def export(
    catalog: Handle,
    target: Location,
    models: Sequence[str],
    file_format: str,
    *,
    force: bool,
    say: Callable[[str], None],
) -> None:
    """Write `models`, or all, as parquet (a lake), csv, jsonl, or duckdb.

    Raises:
        UsageError, AliasTaken, EnvironmentFault: the target cannot be so, or be written.
    """
    if file_format == "duckdb":
        _copy(catalog, target, models, force=force)
        say(f"{target} written")
        return
    if isinstance(target, Path) and target.is_file():
        raise UsageError(
            f"{target} is a file, and {file_format} makes a folder. Name a folder, or use ",
            Option("format", "duckdb"),
            " with a new file.",
        )
    source = SourceRows(catalog)
    if file_format == "parquet":
        export_lake(source, target, models, force=force, say=say)
    else:
        export_text(source, target, file_format, models, force=force, say=say)


def _copy(catalog: Handle, target: Location, models: Sequence[str], *, force: bool) -> None:
    if not isinstance(target, Path):
        raise UsageError(f"A catalog file is written on this machine's disk, not to {target}.")
    if force:
        raise UsageError(
            "A catalog file is only written anew, so ", Option("force"), " does not go with it."
        )
    source = Handle(catalog.file, catalog.wait_s)
    copy_entries(source, target, SourceRows(source).chosen(models))
