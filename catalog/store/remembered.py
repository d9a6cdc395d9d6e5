"""What a server asked the catalog before, as long as it holds the same."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

_Answer = TypeVar("_Answer")

_MOST: Final = 2_000
"""Answers: hundreds of rows of a model or names, or the cosines of a layer (12 bytes a neuron)."""


class Remembered:
    """Answers by their questions, the last two thousand; those of another state are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: str | None = None
        self._known: OrderedDict[Hashable, Any] = OrderedDict()

    def once(self, state: str, question: Hashable, ask: Callable[[], _Answer]) -> _Answer:
        """The answer to a question, which is asked once in each state of the catalog."""
        with self._lock:
            if self._state != state:
                self._known.clear()
                self._state = state
            if question in self._known:
                self._known.move_to_end(question)
                known: _Answer = self._known[question]
                return known
        answer = ask()
        with self._lock:
            if self._state == state:
                self._known[question] = answer
                while len(self._known) > _MOST:
                    self._known.popitem(last=False)
        return answer
