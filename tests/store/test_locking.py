"""Readers and writers wait for each other, and say who kept them waiting."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import catalog
from catalog.errors import CatalogError, DatabaseLocked, command_line
from catalog.store.handle import Handle
from catalog.store.staging import sole_ingest
from catalog.store.walls import open_reader
from catalog.store.writing import writing
from tests.support import COMMAND, Answer, environment, held, release, wait_until


def read(path: Path, wait_s: float) -> int:
    return len(catalog.open(path, wait_s).sql("from models"))


def write(path: Path, wait_s: float) -> int:
    with writing(path, wait_s) as connection:
        connection.execute("update model set source = 'changed'")
    return 2


CASES = [(read, "write"), (write, "read"), (write, "write")]


@pytest.mark.parametrize(("action", "mode"), CASES)
def test_who_gives_up_names_the_process(
    db: Path, action: Callable[[Path, float], int], mode: str
) -> None:
    with held(db, mode) as holder:
        started = time.monotonic()
        with pytest.raises(DatabaseLocked) as refused:
            action(db, 0.3)
        assert 0.3 <= time.monotonic() - started < 5
    assert f"process {holder.pid}" in str(refused.value)
    assert "--wait" in refused.value.message(command_line)


@pytest.mark.parametrize(("action", "mode"), CASES)
def test_who_is_patient_gets_through(
    db: Path, action: Callable[[Path, float], int], mode: str
) -> None:
    with held(db, mode) as holder:
        timer = threading.Timer(0.4, release, [holder])
        timer.start()
        assert action(db, 30) == 2
        timer.join()


def test_readers_do_not_wait_for_readers(db: Path) -> None:
    with held(db, "read"):
        assert read(db, 0) == 2


def test_without_patience_it_is_tried_once(db: Path) -> None:
    with held(db, "write"):
        started = time.monotonic()
        with pytest.raises(DatabaseLocked):
            open_reader(db, 0)
        assert time.monotonic() - started < 1


def test_an_open_session_holds_nobody_up(db: Path) -> None:
    """A notebook that has a catalog open between two cells never keeps an ingest from writing."""
    session = catalog.open(db)
    before = session.sql("select source from models").fetchall()
    assert write(db, 0) == 2
    assert session.sql("select source from models").fetchall() != before


def test_a_writer_in_the_same_process_is_told_so(db: Path) -> None:
    connection = open_reader(db, 0)
    with connection, pytest.raises(DatabaseLocked, match="this very process"):
        write(db, 0.1)


def test_a_transaction_that_fails_changes_nothing(db: Path) -> None:
    before = catalog.open(db).sql("from models").fetchall()
    with pytest.raises(CatalogError), writing(db) as connection:
        connection.execute("update model set source = 'half'")
        connection.execute("select error('stop')")
    assert catalog.open(db).sql("from models").fetchall() == before


def test_a_second_ingest_waits_and_then_says_so(tmp_path: Path) -> None:
    path = tmp_path / "c.duckdb"
    second = sole_ingest(Handle(path, 0.2))
    with sole_ingest(Handle(path, 0)), pytest.raises(DatabaseLocked, match="Another ingest into"):
        second.__enter__()


def test_a_second_ingest_of_the_command_line_says_so(
    tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    path = tmp_path / "c.duckdb"
    with sole_ingest(Handle(path, 0)):
        answer = cli("ingest", "demo", "--db", path, "--wait", 0.2)
    assert answer.code == 6
    assert "Another ingest into" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("arguments", [["sql", "from models"], ["models"], ["show", "0.0"]])
def test_the_command_waits_as_long_as_it_is_told(db: Path, arguments: list[str]) -> None:
    with held(db, "write") as holder:
        process = subprocess.Popen(
            [COMMAND, *arguments, "--db", str(db), "--wait", "0.5"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (6, "")
    assert f"process {holder.pid}" in err


def test_a_killed_holder_leaves_no_lock(db: Path) -> None:
    with held(db, "write") as holder:
        holder.kill()
        wait_until(lambda: holder.poll() is not None)
        assert read(db, 5) == 2


_READERS = """
import sys
from contextlib import ExitStack
import catalog
from catalog.api import Limits
opened = catalog.open(sys.argv[1])
first, second = ExitStack(), ExitStack()
for each in (first, second):
    each.enter_context(opened.kept_open(Limits(60, 500, 1)))
second.close()
print("one is left", flush=True)
sys.stdin.readline()
first.close()
print("none is left", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs locks of open descriptors")
def test_a_reader_that_is_done_lets_no_writer_in_beside_another(db: Path) -> None:
    """DuckDB's own lock is the process's, and falls with the first connection that closes."""
    words = [sys.executable, "-c", _READERS, str(db)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=environment(), **pipes) as server:  # type: ignore[call-overload]
        assert server.stdout.readline() == "one is left\n"
        with pytest.raises(DatabaseLocked, match=f"process {server.pid}"):
            write(db, 0.1)
        server.stdin.write("\n")
        server.stdin.flush()
        assert server.stdout.readline() == "none is left\n"
        assert write(db, 0.1) == 2
        server.communicate("\n")
