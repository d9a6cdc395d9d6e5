"""One connection to a catalog file for many threads that ask without a pause: a server's."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from catalog.store.guard import Watch
from catalog.store.limits import Limits, limited
from catalog.store.opening import LONGEST_RETRY_S
from catalog.store.reading import file_state, opened

_TURN_S: Final = 2.0
"""So long it may be open without a look at whether a writer is waiting."""

_MOMENT_S: Final = LONGEST_RETRY_S + 0.05


@dataclass
class _Open:
    """A connection, who closes it, and how many use it.

    `due_at`: a writer's turn, if one waits; `alone_since`: when none did.
    """

    connection: duckdb.DuckDBPyConnection
    closing: ExitStack
    watch: Watch
    state: tuple[int, ...]
    due_at: float
    alone_since: float = field(default_factory=time.monotonic)
    left_at: float = 0.0
    users: int = 0


class SharedReader:
    """Cursors of one connection, which opening takes longer for than most questions do.

    It is closed when nobody has asked for `idle_s` seconds, and when the file has changed. Asked
    without a pause, it looks every two seconds whether a writer is waiting, and is then closed for
    a moment: who comes then waits for those who are there, at most half as long as the writer may
    have been waiting.
    """

    def __init__(self, path: Path, wait_s: float, limits: Limits, idle_s: float) -> None:
        self.limits = limits
        self._path = path
        self._wait_s = wait_s
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._current: _Open | None = None
        self._free_until = 0.0
        self._timer: threading.Timer | None = None

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for the block, with the limits; raises as `catalog.store.reading.reading`."""
        entered = self._entered()
        try:
            with entered.connection.cursor() as cursor, limited(cursor, self.limits):
                yield cursor
        finally:
            self._leave(entered)

    def close(self) -> None:
        """Close what nobody uses, if that can be done without waiting."""
        if self._changed.acquire(blocking=False):
            try:
                self._close_unused()
            finally:
                self._changed.release()

    def _entered(self) -> _Open:
        with self._changed:
            while True:
                now, found = time.monotonic(), self._current
                if found is not None and found.state != file_state(self._path):
                    self._current = None  # closed by the last of its users
                    self._close_if_left(found)
                elif found is None and now < self._free_until:
                    self._changed.wait(self._free_until - now)
                elif found is None:
                    self._current = self._opened()
                elif now >= found.due_at and not found.watch.sees_a_writer():
                    found.alone_since, found.due_at = now, now + _TURN_S
                elif now >= found.due_at and not self._gives_way(found, now):
                    found.due_at = now + _TURN_S
                elif self._current is found:
                    found.users += 1
                    return found

    def _gives_way(self, found: _Open, now: float) -> bool:
        """Wait until a connection is closed that is due; whether it was."""
        if not found.users:
            self._close_unused()
            return True
        most_s = (now - found.alone_since) / 2
        return self._changed.wait_for(lambda: self._current is not found, most_s)

    def _opened(self) -> _Open:
        stack = ExitStack()
        state = file_state(self._path)
        watch = Watch(self._path)
        stack.callback(watch.close)
        try:
            connection = stack.enter_context(opened(self._path, self._wait_s, limits=self.limits))
        except BaseException:
            stack.close()
            raise
        return _Open(connection, stack, watch, state, time.monotonic() + _TURN_S)

    def _leave(self, entered: _Open) -> None:
        with self._changed:
            entered.users -= 1
            entered.left_at = time.monotonic()
            if entered is not self._current:
                self._close_if_left(entered)
            elif not entered.users and (not self._idle_s or self._keeps_a_writer(entered)):
                self._close_unused()
            elif not entered.users:
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = threading.Timer(self._idle_s, self._close_idle)
                self._timer.daemon = True
                self._timer.start()

    @staticmethod
    def _keeps_a_writer(entered: _Open) -> bool:
        return entered.left_at >= entered.due_at and entered.watch.sees_a_writer()

    def _close_idle(self) -> None:
        with self._changed:
            found = self._current
            if found is not None and time.monotonic() - found.left_at >= 0.9 * self._idle_s:
                self._close_unused()

    def _close_unused(self) -> None:
        """Close the connection if nobody uses it, and leave a moment to writers."""
        found = self._current
        if found is None or found.users:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._current = None
        if time.monotonic() >= found.due_at:
            self._free_until = time.monotonic() + _MOMENT_S
        self._close_if_left(found)
        self._changed.notify_all()

    @staticmethod
    def _close_if_left(found: _Open) -> None:
        if not found.users:
            found.closing.close()
