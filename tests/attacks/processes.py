"""Attempts in processes of their own: DuckDB may well end one over a damaged file."""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a process ended (a negative code is a signal) and what it printed."""

    code: int
    out: str
    err: str


def apart(action: Callable[[], int]) -> Ended:
    """Run in a fork of this process, which must not have used DuckDB: forks lack its threads."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                code = action()
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        return Ended(code, out.read().decode(errors="replace"), err.read().decode(errors="replace"))


def command(*arguments: object) -> Callable[[], int]:
    """A command line of the catalog, for `apart`."""

    def run_it() -> int:
        from catalog.cli.main import run

        return int(run([str(each) for each in arguments]))

    return run_it


def what_is_seen(path: Path, without: Sequence[str] = ()) -> str:
    """Rows and digest of every public view as a reader gets them, or that it gets none.

    `without`: views and columns that are left out.
    """

    def show() -> int:
        import catalog
        from catalog.views import VIEWS

        opened = catalog.open(path)
        for view in [view for view in VIEWS if view.name not in without]:
            described = opened.sql(f"describe {view.name}").fetchall()
            names = [row[0] for row in described if row[0] not in without]
            rows = opened.sql(
                f"select count(*), sum(hash({', '.join(names)})::hugeint)::varchar from {view.name}"
            ).fetchall()
            print(view.name, rows)
        return 0

    ended = apart(show)
    return ended.out if ended.code == 0 else f"nothing ({ended.code})"
