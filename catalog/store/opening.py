"""Opening the DuckDB file: waiting for other processes, and naming what is wrong with it.

DuckDB lets one process write while no other has the file open, and refuses at once, both ways. So
nobody keeps the file open, and whoever finds it taken tries again until the timeout.
"""

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

import duckdb

from catalog.errors import (
    CatalogError,
    Command,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseLocked,
    DatabaseMissing,
    EnvironmentFault,
    Option,
)
from catalog.store.duckdb_errors import Fault, fault_of
from catalog.store.guard import Guard, waiting
from catalog.store.location import DEFAULT_WAIT_S, Location, not_a_file
from catalog.store.memory import VARIABLE
from catalog.store.plain_files import kind_of

STORAGE_VERSION: Final = "v1.0.0"
"""Of new files, so that every DuckDB since 1.0 reads them, whichever wrote them."""

_LONGEST_PAUSE_S: Final = 0.1
LONGEST_RETRY_S: Final = 1.5 * _LONGEST_PAUSE_S
"""After so long at most, who waits for the file tries it again."""

_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


def attach(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    name: str,
    *,
    read_only: bool,
    wait_s: float = DEFAULT_WAIT_S,
    guard: Guard | None = None,
) -> None:
    """Attach the file to an open connection as database `name`.

    Tries again for `wait_s` seconds while another process has it. A reader's `guard` is taken
    first.

    Raises:
        DatabaseMissing: there is no such file (readers only; a writer creates it).
        DatabaseLocked: another process held it all the while; the message says which.
        DatabaseCorrupt: it is no DuckDB file, or a damaged one.
        EnvironmentFault: no permission, a read-only folder, a full disk.
    """
    check_path(path, read_only=read_only)
    quoted = str(path).replace("'", "''")
    mode = "read_only" if read_only else "read_write"
    if not read_only and not path.exists():
        mode += f", storage_version '{STORAGE_VERSION}'"

    def once() -> None:
        while True:
            is_free = guard is None or guard.take(path)
            connection.execute(f"attach '{quoted}' as {name} ({mode}, type duckdb)")
            if is_free:
                return
            connection.execute(f"detach {name}")  # a writer has left between the two

    _patiently(path, wait_s, once, writes=not read_only)


def _patiently(
    path: Path, wait_s: float, once: Callable[[], None], *, writes: bool = False
) -> None:
    """Do `once`, again for `wait_s` seconds while another process has the file."""
    deadline = time.monotonic() + wait_s
    pause_s = 0.005
    while True:
        try:
            once()
            return
        except duckdb.Error as error:
            if fault_of(error) is not Fault.TAKEN:
                raise explained(error, path) from error
            if time.monotonic() >= deadline:
                raise _locked(path, str(error), wait_s) from error
        # Readers and writers that met once would meet again if they all slept equally long.
        with waiting(path) if writes else nullcontext():
            time.sleep(pause_s * random.uniform(0.5, 1.5))
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


@contextmanager
def explaining(path: Location) -> Iterator[None]:
    """Turn DuckDB's errors about the file or the machine into the catalog's."""
    try:
        yield
    except duckdb.Error as error:
        raise explained(error, path) from error


def explained(error: duckdb.Error, path: Location) -> CatalogError:
    """The catalog's error for what DuckDB said of the file `path`."""
    text = str(error)
    first_line = text.splitlines()[0] if text else type(error).__name__
    match fault_of(error):
        case Fault.MISSING:
            return missing(path)
        case Fault.NO_SPACE:
            return EnvironmentFault(
                f"No space left while writing {path}. Free some space and run the same command "
                "again; what was computed is kept."
            )
        case Fault.NO_PERMISSION:
            return EnvironmentFault(f"{path} cannot be opened: no permission ({first_line}).")
        case Fault.TOO_MANY_FILES:
            return EnvironmentFault(
                f"{path} cannot be opened: too many open files. Raise the limit (ulimit -n)."
            )
        case Fault.NO_MEMORY:
            return EnvironmentFault(
                f"DuckDB ran out of memory ({first_line}). Ask for fewer rows, or aggregate more; "
                f"{VARIABLE} sets the limit of what only reads."
            )
        case Fault.DAMAGED:
            return DatabaseCorrupt(
                f"{path} is not a catalog, or it is damaged ({first_line}). Restore it from a "
                "copy, or move it away and ingest again."
            )
    return DatabaseError(f"{path}: {first_line}")


def missing(path: Location) -> DatabaseMissing:
    """The error for a catalog that is not there."""
    return DatabaseMissing(
        f"There is no catalog at {path}.",
        "Name one with ",
        Option("db"),
        " or CATALOG_DB, or make it: ",
        Command("ingest", ("demo",)),
    )


def check_path(path: Path, *, read_only: bool) -> None:
    """Refuse a path at which no catalog can be opened, before anything is tried there."""
    if path.is_dir():
        raise not_a_file(path)
    for each in (path, path.with_name(path.name + ".wal")):
        if kind := kind_of(each):
            raise DatabaseError(f"{each} is {kind}; a catalog and its log are plain files.")
    if read_only and not path.exists():
        raise missing(path)
    folder = path.parent
    if not read_only and not folder.is_dir():
        raise EnvironmentFault(
            f"The folder {folder} does not exist.", "Make it, or name another ", Option("db"), "."
        )
    if not read_only and not os.access(path if path.exists() else folder, os.W_OK):
        raise EnvironmentFault(f"{path} cannot be written: no permission.")


def _locked(path: Path, text: str, wait_s: float) -> DatabaseLocked:
    holder = _HOLDER.search(text)
    if holder:
        who = f"{holder['program']} (process {holder['pid']})"
    elif others := _others_with(path):
        who = f"process {others[0]}"
    else:
        who = "this very process"
    return DatabaseLocked(
        f"{path} is in use by {who}, and still was after {wait_s:g} seconds.",
        "Close that program, or wait longer with ",
        Option("wait"),
        ".",
    )


def _others_with(path: Path) -> list[int]:
    """Other processes that have the file open, of those that may be looked at; on Linux alone.

    A server's lock is that of a descriptor, of which the system names no process.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*/fd"):
        pid = int(process.parent.name)
        with suppress(OSError):
            if pid != os.getpid() and any(path.samefile(each) for each in process.iterdir()):
                found.append(pid)
    return sorted(found)
