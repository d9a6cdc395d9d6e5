"""Ctrl-C and SIGTERM while a query runs, and before the program has begun."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import environment

ENDLESS = "select sum(sin(a.range * b.range)) from range(1000000) a, range(1000000) b"

AFTER_A_WHILE = """
import os, sys, threading
from catalog.cli.commands import sql
from catalog.cli.main import main

threading.Timer(2, os.kill, (os.getpid(), int(sys.argv.pop(1)))).start()
main()
"""

WHILE_IMPORTING = """
import os, signal, sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
from catalog.cli.entry import main
main()
"""


def ended(code: str, *arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_query_stops_when_asked(known: Path, number: signal.Signals) -> None:
    returned, said = ended(AFTER_A_WHILE, number.value, "sql", ENDLESS, "--db", known)
    assert returned == 130
    assert said.strip().startswith("Error: Interrupted.") and len(said.splitlines()) <= 2


def test_ctrl_c_during_the_imports_ends_without_a_word() -> None:
    assert ended(WHILE_IMPORTING) == (-signal.SIGINT, "")
