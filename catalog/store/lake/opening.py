"""Opening a lake: the public views over its files, in a DuckDB that sees nothing else."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import duckdb

from catalog.errors import CatalogError, DatabaseCorrupt, DatabaseError, Option
from catalog.store.lake.files import PROTOCOL, LakeFiles
from catalog.store.lake.manifest import Manifest, file_name, read_manifest
from catalog.store.lake.storage import Storage
from catalog.store.location import Location
from catalog.store.memory import reader_config
from catalog.store.walls import CONFIG, NO_FILES
from catalog.views import VIEWS, macro_scripts

_ONLY_THE_LAKE: Final = f"set allowed_directories = ['{PROTOCOL}://']"
_OF_FILES: Final = (duckdb.IOException, duckdb.InvalidInputException, duckdb.InternalException)
_DAMAGE: Final = re.compile(
    rf"file\W+{PROTOCOL}://|magic bytes|too small|decompress|string encoding", re.IGNORECASE
)


@contextmanager
def reading_lake(
    location: Location, config: Mapping[str, Any] | None = None, seconds: float | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that answers the public views from a lake's files, closed at the end.

    `config`: settings of DuckDB besides. `seconds`: no file is read after them.

    Raises:
        DatabaseMissing, SchemaOutdated, SchemaTooNew: there is no lake, or of another version.
        EnvironmentFault: its files cannot be reached.
        LimitReached: reading them took longer than that.
        DatabaseCorrupt: its manifest or one of its files is damaged, also while it is read.
    """
    storage = Storage(location)
    manifest = read_manifest(storage)
    if not manifest.models:
        raise DatabaseError(f"The lake {location} holds no whole model. Export one: catalog export")
    lake_files = LakeFiles(storage, manifest, seconds)
    settings = {"temp_directory": ""} | reader_config() | dict(config or {})
    connection = duckdb.connect(config=CONFIG | settings)
    try:
        connection.register_filesystem(lake_files)
        for wall in (_ONLY_THE_LAKE, *NO_FILES):
            connection.execute(wall)
        try:
            for script in _view_scripts(manifest):
                connection.execute(script)
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise _damaged(location, error) from error
        yield connection
    except (CatalogError, duckdb.Error, UnicodeDecodeError) as error:
        raise _fault(error, lake_files, location) from error
    finally:
        connection.close()


def _view_scripts(manifest: Manifest) -> list[str]:
    return [*(_view_sql(manifest, view.name) for view in VIEWS), *macro_scripts()]


def _view_sql(manifest: Manifest, view: str) -> str:
    """A view over a file of each model; DuckDB opens only those that a condition leaves."""
    paths = [_literal(f"{PROTOCOL}://{file_name(view, alias)}") for alias in manifest.models]
    columns = [
        f"{_name(column)}::json as {_name(column)}" if kind == "JSON" else _name(column)
        for column, kind in manifest.columns[view].items()
    ]
    return (
        f"create view {view} as select {', '.join(columns)} from read_parquet("
        f"[{', '.join(paths)}], hive_partitioning = true, hive_types = {{'model': varchar}})"
    )


def _fault(
    error: CatalogError | duckdb.Error | UnicodeDecodeError,
    lake_files: LakeFiles,
    location: Location,
) -> Exception:
    """What was wrong with a file of the lake, if that is behind the error."""
    if lake_files.fault is not None:
        return lake_files.fault
    cause = error.__cause__ if isinstance(error, CatalogError) else error
    if isinstance(cause, UnicodeDecodeError) or (
        isinstance(cause, duckdb.Error) and _of_file(cause)
    ):
        return _damaged(location, cause)
    return error


def _of_file(error: duckdb.Error) -> bool:
    """Whether a file, not the SQL, is behind an error."""
    text = str(error)
    if type(error) is duckdb.Error:
        # What DuckDB did not foresee in a file has no class; nor has its refusal to log to one.
        return "LocalFileSystem" not in text
    return isinstance(error, _OF_FILES) and _DAMAGE.search(text) is not None


def _damaged(location: Location, error: Exception) -> DatabaseCorrupt:
    return DatabaseCorrupt(
        f"The lake {location} is damaged ({str(error).splitlines()[0]}).",
        "Restore it from a copy, or export its models again with ",
        Option("force"),
        ".",
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
