"""Walls around a catalog file, maybe a stranger's: none of its code runs, no other file opens.

A connection in memory is first shut off from all files but those it is for, then they are attached
to it, and DuckDB's own lists say what they hold (`catalog.store.contents`) before anything is asked
of them. A reader makes the public views itself (`catalog.store.reader_views`).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

from catalog.store.contents import FILE, refuse_code, refuse_planted, refuse_shadows
from catalog.store.guard import Guard
from catalog.store.memory import reader_config
from catalog.store.new_files import spill_folder
from catalog.store.opening import attach, check_path

CONFIG: Final[dict[str, Any]] = {
    "python_enable_replacements": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_persistent_secrets": "false",
}

NO_FILES: Final = (
    "set enable_external_access = false",
    "set disabled_filesystems = 'LocalFileSystem'",
    "set lock_configuration = true",
)
"""For readers; what is attached already stays readable."""

_BESIDE: Final = ("", ".wal", ".wal.checkpoint", ".wal.recovery")
"""Endings of a catalog file's name, and of what DuckDB writes beside it."""


def walled(
    paths: Iterable[Path], spill: Path | None = None, **settings: str
) -> duckdb.DuckDBPyConnection:
    """A connection in memory that can open these catalog files, and spill to a folder, alone.

    `settings` are DuckDB's. What attaches the files then calls `lock`.
    """
    folder = "" if spill is None else str(spill)
    connection = duckdb.connect(config=CONFIG | {"temp_directory": folder} | settings)
    # A link is opened by either of its names.
    names = {name for path in paths for name in (path.absolute(), path.resolve())}
    allowed = ", ".join(_literal(f"{name}{end}") for name in sorted(names) for end in _BESIDE)
    connection.execute(f"set allowed_paths = [{allowed}]; set enable_external_access = false")
    return connection


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """Let nothing change the settings any more."""
    connection.execute("set lock_configuration = true")


def open_reader(
    path: Path,
    wait_s: float,
    *,
    beneath: bool = False,
    settings: Mapping[str, str] | None = None,
    guard: Guard | None = None,
) -> duckdb.DuckDBPyConnection:
    """A connection in memory to which the file is attached for reading, as `FILE`.

    With `beneath` its tables are found by their bare names, after all of DuckDB's own. `settings`
    are DuckDB's. Whoever gives a `guard` releases it once the connection is closed.

    Raises:
        DatabaseError: as `attach` of `catalog.store.opening` and `refuse_planted`.
    """
    check_path(path, read_only=True)
    connection = walled([path], None, **{**reader_config(), **(settings or {})})
    try:
        attach(connection, path, FILE, read_only=True, wait_s=wait_s, guard=guard)
        refuse_planted(connection, path, FILE)
        if beneath:
            connection.execute(f"set search_path = 'memory.main,system.main,{FILE}.main'")
        connection.execute("; ".join(NO_FILES[1:]))
    except BaseException:
        connection.close()
        raise
    return connection


def open_writer(path: Path, wait_s: float, *, defining: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection in memory to which the file, made if need be, is attached to be written.

    It can write that file, its log and what it spills, and no other. Bare names are DuckDB's own
    before the file's, unless it is for `defining` tables and views.

    Raises:
        DatabaseError: as `catalog.store.opening.attach` and the checks of `catalog.store.contents`.
    """
    check_path(path, read_only=False)
    connection = walled([path], spill_folder(path))
    try:
        attach(connection, path, FILE, read_only=False, wait_s=wait_s)
        refuse_planted(connection, path, FILE)
        refuse_code(connection, path)
        if defining:
            refuse_shadows(connection, path)
        first = "" if defining else "system.main,"
        connection.execute(f"set search_path = '{first}{FILE}.main'")
        lock(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
