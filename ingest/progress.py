"""What an ingest reports while it works; the command line draws it, tests collect it."""

from typing import Protocol

from catalog.errors import HintPart


class Progress(Protocol):
    """Receives what happens, in order."""

    def begin(self, title: str, total: int, done: int = 0) -> None:
        """A step of `total` units of work begins, `done` of which were there already."""

    def advance(self, units: int = 1) -> None:
        """Some units of the step are done."""

    def within(self, amount: float) -> None:
        """So much of the units at work is done, beyond those that were told of."""

    def end(self) -> None:
        """The step is over."""

    def note(self, said: str, *hint: HintPart) -> None:
        """Something the user should know, in one sentence; the hint as in `CatalogError`."""

    def confirm(self, question: str) -> bool:
        """Whether to go on; without a person to ask, yes."""
        ...


class Silent:
    """Reports nothing and goes on."""

    def begin(self, title: str, total: int, done: int = 0) -> None: ...
    def advance(self, units: int = 1) -> None: ...
    def within(self, amount: float) -> None: ...
    def end(self) -> None: ...
    def note(self, said: str, *hint: HintPart) -> None: ...
    def confirm(self, question: str) -> bool:
        return True
