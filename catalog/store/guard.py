"""A lock on a catalog file that stands when another connection of this process closes.

DuckDB's lock is POSIX's and so the process's: it falls with the first descriptor of the file that
the process closes. Of two readers in a server, the one that is done would let a writer change the
file under the other. A lock of the open descriptor (Linux has them) conflicts with a writer's too,
and falls with its own descriptor alone.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Guard:
    """A reader's lock on a file, taken before DuckDB's and released after it."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def take(self, path: Path) -> bool:
        """Whether no process writes to the file, and none can until `release`.

        True also where there are no such locks, or no such file: DuckDB's own then says the rest.
        """
        self.release()
        if sys.platform != "linux":
            return True
        import fcntl
        import struct

        shared = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)  # all of the file
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return True
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, shared)
        except OSError as error:
            os.close(descriptor)
            return not isinstance(error, BlockingIOError)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let writers in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Watch:
    """Tells a reader whether a writer waits for its file (`waiting`).

    Its descriptor stays open until `close`: with one of the file's the process's own lock of
    DuckDB falls.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = _opened(path)

    def sees_a_writer(self) -> bool:
        """Whether a writer waits; True where that cannot be known."""
        if self._descriptor is None or not _flocked(self._descriptor, exclusively=True):
            return True
        _unlocked(self._descriptor)
        return False

    def close(self) -> None:
        """Look no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Let a `Watch` of the file know, for the block, that this process waits to write to it.

    By BSD's lock, which DuckDB does not look at and which falls with the process.
    """
    descriptor = _opened(path)
    try:
        if descriptor is not None:
            _flocked(descriptor, exclusively=False)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _opened(path: Path) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _flocked(descriptor: int, *, exclusively: bool) -> bool:
    import fcntl

    kind = fcntl.LOCK_EX if exclusively else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unlocked(descriptor: int) -> None:
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_UN)
