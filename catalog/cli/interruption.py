"""Ctrl-C and SIGTERM: one handler for both, which remembers that the user asked to stop.

It raises KeyboardInterrupt where the program stands, but code in C may swallow that or turn it into
an exception of its own: torch, interrupted while it looks up a type, says ValueError, and DuckDB
goes on. So long work asks `stop_if_asked` now and then, and an exception is judged with `asked`.
"""

import signal
import time
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SAME_WISH_S: Final = 1.0  # a key pressed twice, or a scheduler that asks twice
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


def _handle(_number: int, _frame: FrameType | None) -> None:
    global _asked_at
    before, _asked_at = _asked_at, time.monotonic()
    if before is None or _asked_at - before > _SAME_WISH_S:
        raise KeyboardInterrupt
