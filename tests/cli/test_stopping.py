"""Ctrl-C and SIGTERM while a query runs, and before the program has begun."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.store.memory import in_bytes
from catalog.store.reading import fetch
from tests.support import command, environment

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


DEAF = "select levenshtein(repeat('ab', 3000000), repeat('ba', 3000000))"
"""A function that looks at nothing for days, in little memory."""

TWICE = """
import os, signal, sys, threading
from catalog.cli import interruption
from catalog.cli.main import main

interruption._PATIENCE_S = 1000
for after_s in (2, 3.5):
    threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGINT)).start()
main()
"""

IN_A_SHELL = """
import os, signal, sys, threading
from catalog import api
from catalog.cli import interruption, shell
from catalog.cli.output import Output

interruption.listen()
made = api.at(sys.argv[1])
output = Output("csv", None, 0)
threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()
shell._answer(made, sys.argv[2], output)
import time
time.sleep(2 * interruption._PATIENCE_S)
shell._answer(made, "select 'next' as statement", Output("csv", Path(sys.argv[3]), 0))
"""

WITH_LITTLE_BESIDES = """
from catalog.cli.commands import sql
from catalog.cli.main import main
from catalog.store import memory

memory.UNCOUNTED = 100_000_000
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_reader_that_is_deaf_is_ended_after_two_seconds(
    known: Path, number: signal.Signals
) -> None:
    returned, said = ended(AFTER_A_WHILE, number.value, "sql", DEAF, "--db", known)
    assert (returned, said.strip().count("Error: Interrupted.")) == (130, 1)


def test_a_reader_that_is_deaf_is_ended_by_a_second_signal(known: Path) -> None:
    assert ended(TWICE, "sql", DEAF, "--db", known)[0] == 130


def test_a_reader_that_is_ended_leaves_no_unfinished_file(known: Path, tmp_path: Path) -> None:
    code = AFTER_A_WHILE.replace(
        "main()",
        "from pathlib import Path\nfrom catalog.store.whole_files import written_whole\n"
        f"with written_whole(Path({str(tmp_path / 'x.csv')!r})) as unfinished:\n"
        "    unfinished.touch()\n    main()",
    )
    assert ended(code, 2, "sql", DEAF, "--db", known)[0] == 130
    assert list(tmp_path.iterdir()) == []


def test_a_shell_goes_on_after_a_statement_was_stopped(known: Path, tmp_path: Path) -> None:
    target = tmp_path / "answer.csv"
    code = f"from pathlib import Path\n{IN_A_SHELL}"
    returned, said = ended(code, known, ENDLESS, target)
    assert returned == 0 and "Error: Interrupted." in said
    assert target.read_text() == "statement\nnext\n"


@pytest.mark.parametrize(
    "sql",
    ["select count(distinct md5(range::varchar)) from range(100000000)"]
    + (["select len(range(200000000))"] if sys.platform == "linux" else []),
    ids=["counted by DuckDB", "not counted"],
)
def test_a_reader_takes_no_more_memory_than_it_may(known: Path, sql: str) -> None:
    words = ("sql", sql, "--db", known, "--memory", "100MB")
    returned, said = ended(WITH_LITTLE_BESIDES, *words)
    assert returned == 7 and "out of memory" in said and "CATALOG_MEMORY" in said


@pytest.mark.parametrize(
    ("said", "n_bytes"), [("4GB", 4 * 10**9), ("1.5 gib", 3 << 29), ("500mb", 500 * 10**6)]
)
def test_a_size_of_memory_is_read(said: str, n_bytes: int) -> None:
    assert in_bytes(said) == n_bytes


@pytest.mark.parametrize("said", ["4", "GB", "-1GB", "1e3GB", "4GBx", "", "9999999999GB"])
def test_what_is_no_size_is_refused(known: Path, said: str) -> None:
    answer = command("models", "--db", known, "--memory", said)
    assert answer.code == 2 and "is no size of memory" in answer.err


def test_many_columns_of_one_name_are_told_apart(known: Path) -> None:
    sql = "select " + ", ".join(["1 as a", "'1'::json as b"] * 2000)
    names = fetch(known, sql).column_names
    assert len(set(names)) == 4000 and names[-2:] == ["a_1999", "b_1999"]
    answer = command("sql", sql, "--db", known, "--format", "csv")
    assert answer.out.splitlines()[1] == "1,1," * 1999 + "1,1", answer.err
