"""A catalog that was opened: where it is and how it is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from catalog.store.handle import Handle
from catalog.store.limits import Limits
from catalog.store.location import Location
from catalog.store.remembered import Remembered


class Opened:
    """What every part of the library asks: a file or a lake and how it is read."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    @property
    def handle(self) -> Handle:
        """What an IngestRequest takes."""
        return self._handle

    @property
    def path(self) -> Location:
        """Where it is: a path, or the URL of a lake."""
        return self._handle.location

    @contextmanager
    def kept_open(self, limits: Limits) -> Iterator[Self]:
        """The same catalog with one connection for all that is asked in the block, and limits.

        Raises:
            LimitReached: a query took more than the limits allow.
        """
        with self._handle.kept_open(limits) as handle:
            yield type(self)(handle)

    def sharing(self, limits: Limits, idle_s: float) -> Self:
        """The same catalog, for a server: `kept_open` with these limits shares one connection.

        It stays open for `idle_s` seconds after the last block, and is closed for a moment within
        two seconds once a writer waits.
        """
        return type(self)(self._handle.sharing(limits, idle_s))

    def remembering(self, answers: Remembered, state: str) -> Self:
        """The same catalog, which in this `state` answers what it was asked before from memory."""
        return type(self)(self._handle.remembering(answers, state))

    def close_shared(self) -> None:
        """Close what `sharing` keeps open, if nobody uses it."""
        if self._handle.shared is not None:
            self._handle.shared.close()

    def limited(self, limits: Limits) -> Self:
        """The same catalog, each question of which has these limits."""
        return type(self)(replace(self._handle, limits=limits))

    def interrupt(self) -> None:
        """Stop what a catalog that is kept open is asked just now; from any thread."""
        if self._handle.kept is not None:
            self._handle.kept.interrupt()

    def mark(self) -> tuple[int, ...] | None:
        """Numbers that differ once the file was written to; None of a lake."""
        from catalog.store.reading import file_state

        where = self._handle.location
        return file_state(where) if isinstance(where, Path) and where.is_file() else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"
