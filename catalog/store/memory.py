"""How much memory a reader may take: a limit for DuckDB, and around it one of the system.

DuckDB counts its buffers. Lists and long texts that a function makes, and the answer as Arrow, it
does not, so a process that only reads (the command line's) also gets a limit from the system while
a statement runs. Writers have limits of their own.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from catalog.errors import UsageError

VARIABLE: Final = "CATALOG_MEMORY"

MOST: Final = 4_000_000_000
"""Bytes for DuckDB where nothing else is said: so many, or half of the machine's."""

UNCOUNTED: Final = 2_000_000_000
"""Bytes for what DuckDB does not count."""

_STACK: Final = 8 << 20
_SIZE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([KMGT])(i?)B", re.IGNORECASE)
_FIELD_OF_DATA: Final = 5
"""In /proc/self/statm, pages of data and stacks: what RLIMIT_DATA counts, and a little more."""

_chosen: int | None = None
_is_process_bounded = False


def in_bytes(size: str) -> int:
    """Bytes of a size such as 4GB or 500MiB.

    Raises:
        UsageError: it is none.
    """
    match = _SIZE.fullmatch(size.strip())
    if match is None:
        raise UsageError(f"{size!r} is no size of memory. Write for example 4GB or 500MB.")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** (" KMGT".index(unit.upper())))


def bound_process(n_bytes: int | None) -> None:
    """This process only reads: it gets `n_bytes` for DuckDB, or the default, and a limit around."""
    global _chosen, _is_process_bounded
    _chosen, _is_process_bounded = n_bytes, True


def reader_bytes() -> int:
    """The limit of a reader's DuckDB: chosen, or from the environment, or the default.

    Raises:
        UsageError: the environment says what is no size.
    """
    if _chosen is not None:
        return _chosen
    if said := os.environ.get(VARIABLE):
        return in_bytes(said)
    return min(MOST, _of_machine() // 2)


def reader_config() -> dict[str, Any]:
    """What a reader's DuckDB is opened with."""
    return {"memory_limit": f"{reader_bytes()}B"}


@contextmanager
def bounded() -> Iterator[None]:
    """In the block a process that only reads cannot take more; on Linux alone."""
    if not _is_process_bounded or sys.platform != "linux":
        yield
        return
    from resource import RLIM_INFINITY, RLIMIT_DATA, getrlimit, setrlimit

    soft, hard = getrlimit(RLIMIT_DATA)
    stacks = 2 * (os.cpu_count() or 1) * _STACK
    most = _used() + reader_bytes() + UNCOUNTED + stacks
    setrlimit(RLIMIT_DATA, (min(n for n in (most, soft, hard) if n != RLIM_INFINITY), hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_DATA, (soft, hard))


def _used() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[_FIELD_OF_DATA])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _of_machine() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not every system says
        return 2 * MOST
