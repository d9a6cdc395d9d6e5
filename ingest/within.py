"""How far the unit at work is: told where it is computed, heard where its progress is shown.

Where nobody listens, as in a worker of another process, nothing comes of it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

ItemT = TypeVar("ItemT")

_listener: ContextVar[Callable[[float], None] | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Callable[[float], None]) -> Iterator[None]:
    """In the block, `listener` is told how much of the unit at work is done."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def tell_done(amount: float) -> None:
    """So much of the unit at work is done, as its step counts: 0.5 is half of a unit of one."""
    listener = _listener.get()
    if listener is not None:
        listener(amount)


def told(parts: Iterable[ItemT], n_parts: float) -> Iterator[ItemT]:
    """The parts of a unit of one, each told when it is done."""
    for at, part in enumerate(parts, 1):
        yield part
        tell_done(min(1.0, at / n_parts))
