"""Threads of a server share one open file, and writers get their turn all the same."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import catalog
from catalog.api import Limits
from catalog.errors import DatabaseMissing, LimitReached
from catalog.store.guard import Watch, waiting
from catalog.store.handle import Handle
from tests.support import execute, held, python

LIMITS = Limits(seconds=30, memory_mb=500, threads=1)
COUNT = "select count(*) as n from models"


def count(handle: Handle) -> int:
    with handle.kept_open(LIMITS) as kept:
        return int(kept.rows(COUNT)[0]["n"])


def database_of(handle: Handle) -> object:
    """What tells one open DuckDB from another: a table in its memory."""
    with handle.kept_open(LIMITS) as kept:
        assert kept.kept is not None
        kept.kept.execute("create table if not exists mark as select uuid() as mark")
        (row,) = kept.kept.execute("from mark").fetchall()
        return row


def test_blocks_that_follow_each_other_share_what_is_open(db: Path) -> None:
    shared = Handle(db).sharing(LIMITS, 60.0)
    first = database_of(shared)
    assert database_of(shared) == first
    assert shared.shared is not None
    shared.shared.close()
    assert database_of(shared) != first
    shared.shared.close()


def test_it_is_closed_when_nobody_asks(db: Path) -> None:
    shared = Handle(db).sharing(LIMITS, 0.2)
    assert count(shared) == 2
    time.sleep(0.5)
    with held(db, "write"):
        pass


def test_without_patience_it_is_closed_at_once(db: Path) -> None:
    shared = Handle(db).sharing(LIMITS, 0.0)
    assert count(shared) == 2
    execute(db, "update model set source = 'changed'")
    assert count(shared) == 2


def test_a_file_that_is_replaced_is_opened_anew(db: Path, tmp_path: Path) -> None:
    shared = Handle(db).sharing(LIMITS, 60.0)
    with shared.kept_open(LIMITS) as kept:
        other = tmp_path / "other.duckdb"
        other.write_bytes(db.read_bytes())
        execute(other, "update model set alias = 'gamma' where alias = 'alpha'")
        other.replace(db)
        asked = "select model from models order by model"
        with shared.kept_open(LIMITS) as anew:
            assert [row["model"] for row in anew.rows(asked)] == ["beta", "gamma"]
        assert [row["model"] for row in kept.rows(asked)] == ["alpha", "beta"]
    db.unlink()
    with pytest.raises(DatabaseMissing):
        count(shared)


def test_other_limits_have_a_connection_of_their_own(db: Path) -> None:
    shared = Handle(db).sharing(LIMITS, 60.0)
    database_of(shared)
    with shared.kept_open(Limits(seconds=30, memory_mb=100, threads=1)) as kept:
        named = "select count(*) as n from duckdb_tables() where table_name = 'mark'"
        assert kept.rows(named) == [{"n": 0}]
    assert shared.shared is not None
    shared.shared.close()


def test_a_limit_stops_one_cursor_alone(db: Path) -> None:
    limits = Limits(seconds=0.3, memory_mb=500, threads=1)
    shared = Handle(db).sharing(limits, 60.0)
    endless = "select count(*) from range(1000000) a, range(1000000) b where a != b"
    with pytest.raises(LimitReached, match=r"0\.3 seconds"), shared.kept_open(limits) as long:
        long.rows(endless)
    with shared.kept_open(limits) as short:
        assert short.rows(COUNT)[0]["n"] == 2
    assert shared.shared is not None
    shared.shared.close()


def test_nothing_is_left_to_interrupt_a_connection_that_closes(db: Path) -> None:
    shared = Handle(db).sharing(LIMITS, 60.0)
    for _ in range(50):
        with shared.kept_open(LIMITS):
            assert any(isinstance(each, threading.Timer) for each in threading.enumerate())
        # The one that is left closes the connection where nobody asks any more.
        left = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
        assert [each.interval for each in left if each.interval != 60.0] == []
    assert shared.shared is not None
    shared.shared.close()


def test_a_watch_sees_who_waits_to_write(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    path.touch()
    watch = Watch(path)
    assert not watch.sees_a_writer()
    with waiting(path), waiting(path):
        assert watch.sees_a_writer()
    assert not watch.sees_a_writer()
    watch.close()
    assert watch.sees_a_writer()


def test_it_is_closed_in_its_turn_only_where_a_writer_waits(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_s = 0.5
    monkeypatch.setattr("catalog.store.shared._TURN_S", turn_s)
    shared = Handle(db).sharing(LIMITS, 60.0)
    first = database_of(shared)
    time.sleep(turn_s)
    assert database_of(shared) == first
    with waiting(db):
        time.sleep(turn_s)
        assert database_of(shared) != first
    assert shared.shared is not None
    shared.shared.close()


WRITER = """
import sys
from pathlib import Path
from catalog.store.writing import writing
for n in range(3):
    with writing(Path(sys.argv[1]), 60) as connection:
        connection.execute(f"update model set source = '{n}'")
"""


@contextmanager
def asking(shared: Handle, n_threads: int) -> Iterator[list[int]]:
    """Threads that ask one after the other, without a pause; how often they did."""
    stop, done = threading.Event(), [0] * n_threads

    def ask(which: int) -> None:
        while not stop.is_set():
            count(shared)
            done[which] += 1

    threads = [threading.Thread(target=ask, args=(which,)) for which in range(n_threads)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_a_writer_gets_in_between_threads_that_never_pause(db: Path) -> None:
    shared = Handle(db).sharing(LIMITS, 60.0)
    with asking(shared, 4) as done:
        python(WRITER, db)
        before = sum(done)
        time.sleep(1)
        assert sum(done) > before
    assert catalog.open(db).sql("select distinct source from models").fetchall() == [("2",)]
