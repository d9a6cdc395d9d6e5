"""What pages asked the catalog before, as long as it holds the same."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")

_MOST: Final = 1_000
"""Answers, each of a few hundred rows at most: those of whole models, and lists of names."""


class Answers:
    """Answers by their questions, the last thousand; those of another state are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: str | None = None
        self._known: OrderedDict[str, Any] = OrderedDict()

    def of(
        self,
        state: str,
        ask: Callable[_Given, _Answer],
        *given: _Given.args,
        **named: _Given.kwargs,
    ) -> _Answer:
        """What `ask` says, a method of the catalog, which is asked once in each state."""
        key = f"{state} {ask.__name__} {given!r} {sorted(named.items())!r}"
        with self._lock:
            if self._state != state:
                self._known.clear()
                self._state = state
            if key in self._known:
                self._known.move_to_end(key)
                known: _Answer = self._known[key]
                return known
        answer = ask(*given, **named)
        with self._lock:
            if self._state == state:
                self._known[key] = answer
                while len(self._known) > _MOST:
                    self._known.popitem(last=False)
        return answer
