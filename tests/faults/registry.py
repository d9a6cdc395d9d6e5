"""Faults that the tests of this folder inject; docs/faults.md is written from them."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support import Answer

Test = TypeVar("Test", bound=Callable[..., Any])

FAULTS: dict["Fault", str] = {}
"""Every fault, with the id of the test that injects it."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong, what the user then sees, and what is still there afterwards.

    `sees` is the message with `…` for what differs from case to case; '' where nothing is said.
    """

    name: str
    code: int
    sees: str
    survives: str

    def seen(self, answer: Answer) -> None:
        """Check that this is what the user sees, in one sentence or two and without a traceback."""
        assert answer.code == self.code, answer
        for bad in ("Traceback", "fault of the program", "Exception ignored"):
            assert bad not in answer.err, answer.err
        pattern = r"[\s\S]*?".join(map(_words, self.sees.split("…")))
        assert re.search(pattern, answer.err), f"{self.sees!r} is not in {answer.err!r}"
        said = answer.err[answer.err.find("Error: ") :]
        assert "Error: " not in answer.err or said.strip().count("\n") == 0, answer.err


def _words(text: str) -> str:
    return r"\s+".join(map(re.escape, text.split(" ")))


def injects(*faults: Fault) -> Callable[[Test], Test]:
    """Run the test once for each fault, passed as `fault`, and enter them in the table."""

    def entered(test: Test) -> Test:
        file = Path(*test.__module__.split(".")).with_suffix(".py").as_posix()
        for fault in faults:
            assert fault not in FAULTS, fault
            FAULTS[fault] = f"{file}::{test.__name__}"
        marked: Test = pytest.mark.parametrize("fault", faults, ids=[f.name for f in faults])(test)
        return marked

    return entered


def all_faults() -> dict[Fault, str]:
    """The faults of all modules of this folder, in the order of their names."""
    package = __name__.rpartition(".")[0]
    for module in sorted(pkgutil.iter_modules([str(Path(__file__).parent)]), key=lambda m: m.name):
        if module.name.startswith("test_"):
            importlib.import_module(f"{package}.{module.name}")
    return FAULTS
