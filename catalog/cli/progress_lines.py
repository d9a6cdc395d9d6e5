"""An ingest's progress where nobody watches a bar: a line a minute, and one for each step's end."""

import threading
import time
from types import TracebackType
from typing import Final

from catalog.cli.interruption import stop_if_asked
from catalog.cli.messages import confirm, note
from catalog.errors import HintPart, command_line
from catalog.formats.durations import duration

EVERY_S: Final = 60.0


class ProgressLines:
    """Says on standard error how far the step at work is, also while one unit of it takes long."""

    def __init__(self, *, assume_yes: bool, every_s: float = EVERY_S) -> None:
        self._assume_yes = assume_yes
        self._every_s = every_s
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._tell_now_and_then, daemon=True)
        self._title: str | None = None
        self._done = self._total = self._before = 0
        self._within = 0.0
        self._began = time.monotonic()
        self._last = ""

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
        self._done = self._before = done
        self._total, self._within, self._began = total, 0.0, time.monotonic()
        self._title = title

    def advance(self, units: int = 1) -> None:
        """Some units of the step are done."""
        stop_if_asked()
        self._done += units
        self._within = 0.0

    def within(self, amount: float) -> None:
        """So much of the units at work is done."""
        self._within = max(self._within, amount)

    def end(self) -> None:
        """Say that the step is over, and how long it took."""
        if self._title is not None:
            self._say(f"{self._title}: done, {self._so_far()}")
        self._title = None

    def note(self, said: str, *hint: HintPart) -> None:
        """Say a sentence."""
        self._say(" ".join(filter(None, [said, "".join(map(command_line, hint))])))

    def confirm(self, question: str) -> bool:
        """Ask, if somebody can answer."""
        return confirm(question, assume_yes=self._assume_yes)

    def _say(self, text: str) -> None:
        note(text)
        self._last = text
        if self._title is None:
            self._began = time.monotonic()

    def _tell_now_and_then(self) -> None:
        while not self._over.wait(self._every_s):
            if (title := self._title) is not None:
                note(f"{title}: {self._reached()}, {self._so_far()}{self._to_come()}")
            elif self._last:
                note(f"still at work, {self._so_far()} after: {self._last}")

    def _reached(self) -> str:
        """Units done of all; of the one at work a tenth is told, if it was reached."""
        done = self._done + min(self._within, self._total - self._done)
        tenths = int(done * 10) / 10
        return f"{tenths:,.{1 if tenths % 1 else 0}f} of {self._total:,}"

    def _to_come(self) -> str:
        done = self._done + self._within - self._before
        left = self._total - self._before - done
        if done <= 0 or left <= 0:
            return ""
        return f", about {duration((time.monotonic() - self._began) * left / done)} to come"

    def _so_far(self) -> str:
        return f"{time.monotonic() - self._began:.0f} s"
