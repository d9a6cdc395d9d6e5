"""An ingest's progress where nobody watches a bar: a line a minute, and one for each step's end."""

import threading
import time
from types import TracebackType
from typing import Final

from catalog.cli.interruption import stop_if_asked
from catalog.cli.messages import confirm, note
from catalog.errors import HintPart, command_line

EVERY_S: Final = 60.0


class ProgressLines:
    """Says on standard error how far the step at work is, also while one unit of it takes long."""

    def __init__(self, *, assume_yes: bool, every_s: float = EVERY_S) -> None:
        self._assume_yes = assume_yes
        self._every_s = every_s
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._tell_now_and_then, daemon=True)
        self._title: str | None = None
        self._done = self._total = 0
        self._began = 0.0

    def __enter__(self) -> "ProgressLines":
        self._clock.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._clock.join()

    def begin(self, title: str, total: int, done: int = 0) -> None:
        """A step begins."""
        stop_if_asked()
        self._done, self._total, self._began = done, total, time.monotonic()
        self._title = title

    def advance(self, units: int = 1) -> None:
        """Some units of the step are done."""
        stop_if_asked()
        self._done += units

    def end(self) -> None:
        """Say that the step is over, and how long it took."""
        if self._title is not None:
            note(f"{self._title}: done, {self._so_far()}")
        self._title = None

    def note(self, said: str, *hint: HintPart) -> None:
        """Say a sentence."""
        note(" ".join(filter(None, [said, "".join(map(command_line, hint))])))

    def confirm(self, question: str) -> bool:
        """Ask, if somebody can answer."""
        return confirm(question, assume_yes=self._assume_yes)

    def _tell_now_and_then(self) -> None:
        while not self._over.wait(self._every_s):
            if (title := self._title) is not None:
                note(f"{title}: {self._done:,} of {self._total:,}, {self._so_far()}")

    def _so_far(self) -> str:
        return f"{time.monotonic() - self._began:.0f} s"
