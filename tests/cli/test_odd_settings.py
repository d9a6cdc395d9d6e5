"""Settings and streams that are not as usual: what is said then, and with which exit code."""

import os
import subprocess
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.support import COMMAND, command, environment, on_terminal

SHOW = ("show", "28.4737", "--model", "alpha")


@pytest.mark.parametrize("said", ["0", "false", "no", "off", ""])
def test_debug_that_is_off_shows_no_traceback(tmp_path: Path, said: str) -> None:
    answer = command("models", "--db", tmp_path / "none.duckdb", CATALOG_DEBUG=said)
    assert answer.code == 6 and "Traceback" not in answer.err


@pytest.mark.parametrize("said", ["1", "true", "yes", "on"])
def test_debug_that_is_on_shows_one(tmp_path: Path, said: str) -> None:
    answer = command("models", "--db", tmp_path / "none.duckdb", CATALOG_DEBUG=said)
    assert "Traceback" in answer.err


def test_debug_that_is_neither_is_refused(known: Path) -> None:
    answer = command("models", "--db", known, CATALOG_DEBUG="perhaps")
    assert answer.code == 2 and "Traceback" not in answer.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["models", "--db", "none.duckdb"], 6),
        (["models", "--nonsense"], 2),
        (["sql", "nonsense"], 5),
        (["sql", "from models where false"], 0),
    ],
)
def test_an_error_that_nobody_can_be_told_keeps_its_exit_code(
    known: Path, words: list[str], code: int
) -> None:
    more = [] if "models" in words else ["--db", str(known)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [COMMAND, *words, *more],
            stdout=subprocess.DEVNULL,
            stderr=full,
            env=environment(),
            check=False,
            timeout=120,
        )
    assert done.returncode == code


@pytest.mark.parametrize("columns", ["0", "1", "5", "x", "-3", ""])
@pytest.mark.parametrize("words", [SHOW, ("sql", "select 1 as a, 'b' as b"), ("models",)])
def test_any_number_of_columns_prints_something(
    known: Path, words: tuple[str, ...], columns: str
) -> None:
    answer = command(*words, "--db", known, COLUMNS=columns)
    assert answer.code == 0 and answer.out.strip()
    assert len(on_terminal(80, *words, "--db", known, COLUMNS=columns).strip()) > 10
    if columns == "0":
        assert answer.out == command(*words, "--db", known).out


def test_a_terminal_of_no_width_is_80_columns(known: Path) -> None:
    _, rule, *folded = on_terminal(
        0, "sql", "select repeat('x ', 100) as a", "--db", known
    ).splitlines()
    assert cell_len(rule) == 80 and len(folded) == 3


def test_sql_after_a_nul_character_is_not_ignored(known: Path) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"select 1 as a\0, nonsense")
    os.close(theirs)
    answer = command("sql", "-", "--db", known, stdin=ours)
    os.close(ours)
    assert answer.code == 5 and "NUL" in answer.err and answer.out == ""
