"""Commands that are killed (SIGKILL) at a moment of their work, each in a process of its own."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from tests.support import python


class Moment(NamedTuple):
    """Just before the n-th call of a function, from 1."""

    module: str
    function: str
    n: int


BEFORE_RENAMED, AFTER_RENAMED = 3, 4
"""Which syncs these are: of the file and of its folder, after those of the empty catalog."""

# One interpreter pays for the imports; every command runs in a fork of it, alone in its process.
_KILL = """
import importlib, json, os, signal, sys
import catalog.store.combining, catalog.store.compacting, catalog.store.dropping
import alembic.command, duckdb_sqlalchemy, sqlalchemy
from catalog.cli.main import run

for (module, function, left), arguments in json.loads(sys.argv[1]):
    pid = os.fork()
    if pid == 0:
        where = importlib.import_module(module)
        original = getattr(where, function)

        def counted(*given, **named):
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*given, **named)

        setattr(where, function, counted)
        os._exit(run(arguments))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def killed(runs: Sequence[tuple[Moment, Sequence[object]]]) -> list[int]:
    """Run `catalog ARGUMENTS` for each moment; returns the exit codes, -9 of those killed."""
    given = [(moment, [str(each) for each in arguments]) for moment, arguments in runs]
    return [int(code) for code in python(_KILL, json.dumps(given)).split()]
