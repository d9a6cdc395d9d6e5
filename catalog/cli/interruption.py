"""Ctrl-C and SIGTERM: one handler for both, which remembers that the user asked to stop.

It raises KeyboardInterrupt where the program stands, but code in C may swallow that or turn it into
an exception of its own: torch, interrupted while it looks up a type, says ValueError, and DuckDB
goes on. So long work asks `stop_if_asked` now and then, and an exception is judged with `asked`.

A reader has nothing to lose. It is ended from a thread of its own if it goes on regardless: some
functions of DuckDB look at nothing until they are done, and while the main thread waits for C no
handler of Python's runs.
"""

import _thread
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, NoReturn

from catalog.errors import ExitCode

SAID: Final = "Interrupted. What is stored is whole, and the same command can be run again."

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SAME_WISH_S: Final = 1.0  # a key pressed twice, or a scheduler that asks twice
_PATIENCE_S: Final = 2.0
"""How long a reader may take to end after it was asked to."""

_asked_at: float | None = None


def listen() -> None:
    """Take the signals from now on."""
    for number in _SIGNALS:
        signal.signal(number, _handle)


def ignore() -> None:
    """Let no signal disturb the end of the process."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def asked() -> bool:
    """Whether a signal has come."""
    return _asked_at is not None


def stop_if_asked() -> None:
    """Raise KeyboardInterrupt if a signal has come."""
    if asked():
        raise KeyboardInterrupt


def forget() -> None:
    """What was asked has been done, and the program goes on: a shell's statement was stopped."""
    global _asked_at
    _asked_at = None


@contextmanager
def nothing_to_lose() -> Iterator[None]:
    """In the block a second signal, or two seconds after the first, ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, hears = os.pipe()
    os.set_blocking(hears, False)
    before = signal.set_wakeup_fd(hears, warn_on_full_buffer=False)
    # Not one of threading's, whose number decides whether DuckDB may import pandas (0.3 s).
    _thread.start_new_thread(_watch, (heard,))
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(hears)


def _watch(heard: int) -> None:
    """Wait for signals, whose numbers come as bytes, until the block ends and with it the pipe."""
    with os.fdopen(heard, "rb", buffering=0) as numbers:
        while (number := numbers.read(1)) and number[0] not in _SIGNALS:
            pass
        if number:
            # A byte is a second signal; nothing to read within the time is the time.
            soon, _, _ = select.select([numbers], [], [], _PATIENCE_S)
            if not soon or numbers.read(1):
                _end()


def _end() -> NoReturn:
    from catalog.store.whole_files import remove_unfinished

    with suppress(OSError):
        os.write(sys.stderr.fileno(), f"\nError: {SAID}\n".encode())
    remove_unfinished()
    os._exit(ExitCode.INTERRUPTED)


def _handle(_number: int, _frame: FrameType | None) -> None:
    global _asked_at
    before, _asked_at = _asked_at, time.monotonic()
    if before is None or _asked_at - before > _SAME_WISH_S:
        raise KeyboardInterrupt
