"""A compacted catalog holds the same rows in a smaller file; until then the old one stands."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.errors import (
    DatabaseError,
    DatabaseLocked,
    DatabaseMissing,
    EnvironmentFault,
    SchemaOutdated,
)
from catalog.store.compacting import compact
from catalog.store.handle import Handle
from catalog.store.new_files import require_space
from catalog.store.staging import sole_ingest
from catalog.store.writing import finish_run, unfinished_run, writing
from catalog.tables import bulk_tables
from tests.store import parts
from tests.store.killing import AFTER_RENAMED, BEFORE_RENAMED, Moment, killed
from tests.store.parts import Part
from tests.support import (
    COMMAND,
    Answer,
    Row,
    environment,
    execute,
    fingerprint,
    held,
    public_rows,
    query,
)
from tests.synthetic import run_start

P = {"p": "first text"}
SMALL_TABLES = (
    *("model", "vocabulary", "token", "corpus", "context"),
    *("model_corpus", "ingest_run", "current_rows", "direction"),
)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Two entries, in a folder of their own."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return parts.build(folder / "c.duckdb", {"x": Part(2, P), "y": Part(2, P)})


def stored(path: Path) -> dict[str, list[Row]]:
    """All rows of all tables, those of bulk tables in the order in which they lie."""
    small = {table: query(path, f"select * from {table} order by all") for table in SMALL_TABLES}
    bulk = {table: query(path, f"select * from {table} order by rowid") for table in bulk_tables()}
    return small | bulk


def add_orphans(path: Path, n_rows: int = 500_000) -> None:
    """What a load or a drop that were killed leave: rows of a run that nothing refers to."""
    rows = f"select 99, 0, range, 0, 1, 2, random() from range({n_rows})"
    execute(path, f"insert into top_token {rows}", "checkpoint")


def test_the_rows_and_their_order_stay(filled: Path) -> None:
    before, shown = stored(filled), public_rows(filled)
    compact(Handle(filled))
    assert stored(filled) == before
    assert public_rows(filled) == shown


def test_the_demo_of_every_view_stays(db: Path) -> None:
    before, shown = stored(db), public_rows(db)
    compact(Handle(db))
    assert (stored(db), public_rows(db)) == (before, shown)


def test_the_file_shrinks_to_what_is_referred_to(filled: Path) -> None:
    expected, size = stored(filled), filled.stat().st_size
    add_orphans(filled)
    execute(
        filled,
        "insert into vocabulary values (9, 'lost', 1)",
        "insert into token values (9, 0, 'lost')",
        "insert into corpus values (9, 'lost', 'lost', 1, 2, 16, 0, 'excluded', '{}')",
        "insert into context values (9, 0, 'lost', 'lost', [0], [0], [1])",
        "insert into ingest_run select * replace (99 as run_id, 0 as model_id) "
        "from ingest_run where run_id = 1",
    )
    done = compact(Handle(filled))
    assert done.before > size
    assert done.after <= size
    assert done.after == filled.stat().st_size
    assert stored(filled) == expected


def test_a_run_that_may_be_resumed_keeps_its_rows(filled: Path) -> None:
    with writing(filled) as connection:
        rows = {"top_token": parts._top_tokens(3)}
        run_id = parts.load(connection, 1, "vocab", rows, None, {"k": 3}, finish=False)
    before = stored(filled)
    compact(Handle(filled))
    assert stored(filled) == before
    with writing(filled) as connection:
        assert unfinished_run(connection, 1, run_start("vocab", k=3), None) == (run_id, 1)
        finish_run(connection, run_id, ("top_token",), {})
    n = query(filled, "select count(*) from top_tokens where model = 'x'")
    assert n == [(3 * len(parts.PLACES),)]


def test_what_a_killed_writer_left_in_its_log_is_kept(filled: Path) -> None:
    code = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); "
        "c.execute(\"update model set source = 'from the log'\"); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(filled)], check=False)
    log = filled.with_name(f"{filled.name}.wal")
    assert log.exists()
    compact(Handle(filled))
    assert not log.exists()
    assert query(filled, "select distinct source from models") == [("from the log",)]


def test_readers_go_on_meanwhile_and_see_the_same(filled: Path) -> None:
    add_orphans(filled)
    expected = query(filled, "from neurons order by all")
    with subprocess.Popen([COMMAND, "compact", "--db", filled], env=environment()) as process:
        n_asked = 0
        while process.poll() is None:
            assert query(filled, "from neurons order by all") == expected
            n_asked += 1
    assert process.returncode == 0
    assert n_asked > 0
    assert query(filled, "from neurons order by all") == expected


def test_an_open_reader_does_not_hold_it_up(filled: Path) -> None:
    expected = public_rows(filled)
    with held(filled, "read"):
        compact(Handle(filled, 0))
    assert public_rows(filled) == expected


def test_writers_and_ingests_are_waited_for(filled: Path) -> None:
    with held(filled, "write") as holder, pytest.raises(DatabaseLocked, match=str(holder.pid)):
        compact(Handle(filled, 0.1))
    with sole_ingest(Handle(filled, 0)), pytest.raises(DatabaseLocked):
        compact(Handle(filled, 0.1))


@pytest.mark.slow
def test_killed_at_any_moment_one_whole_catalog_is_there(tmp_path: Path) -> None:
    copying, files = "catalog.store.copying", "catalog.store.whole_files"
    moments = [
        Moment(copying, "_copy", 1),
        Moment(copying, "_copy", 12),
        Moment(copying, "_compare", 5),
        Moment(files, "_sync", BEFORE_RENAMED),
        Moment(files, "_sync", AFTER_RENAMED),
    ]
    original = parts.build(tmp_path / "original.duckdb", {"x": Part(2, P)})
    expected = stored(original)
    copies = []
    for at, _ in enumerate(moments):
        (tmp_path / str(at)).mkdir()
        copies.append(Path(shutil.copy(original, tmp_path / str(at) / "c.duckdb")))
    commands = [["compact", "--db", copy] for copy in copies]
    assert killed(list(zip(moments, commands, strict=True))) == [-9] * len(moments)
    for copy in copies:
        assert stored(copy) == expected
        compact(Handle(copy))
        assert stored(copy) == expected
        assert {each.name for each in copy.parent.iterdir()} <= {"c.duckdb", "c.duckdb.lock"}


def test_tables_of_somebody_else_are_never_lost(filled: Path) -> None:
    execute(filled, "create table my_notes (a int)", "create view my_view as select 1 as one")
    before = fingerprint(filled.parent)
    with pytest.raises(DatabaseError, match=r"my_notes, my_view.*nothing was changed"):
        compact(Handle(filled))
    assert {name: fingerprint(filled.parent)[name] for name in before} == before
    assert not filled.with_name("c.duckdb.unfinished").exists()


def test_a_link_to_a_catalog_stays_a_link(filled: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.duckdb"
    link.symlink_to(filled)
    expected = stored(filled)
    add_orphans(filled)
    done = compact(Handle(link))
    assert link.is_symlink()
    assert filled.stat().st_size == done.after < done.before
    assert stored(filled) == expected


def test_permissions_stay(filled: Path) -> None:
    filled.chmod(0o640)
    compact(Handle(filled))
    assert filled.stat().st_mode & 0o777 == 0o640


def test_too_little_space_says_how_much_is_missing(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(EnvironmentFault, match=r"free: [\d,.]+ MB are missing. Make room") as full:
        require_space(tmp_path, free + 10**15)
    missing = str(full.value).split("free: ")[1].split(" MB")[0].replace(",", "")
    assert float(missing) == pytest.approx(1e9, rel=0.01)


def test_an_older_catalog_and_none_are_refused(filled: Path) -> None:
    with pytest.raises(DatabaseMissing):
        compact(Handle(filled.with_name("none.duckdb")))
    execute(filled, "update alembic_version set version_num = '0001'")
    with pytest.raises(SchemaOutdated, match="catalog upgrade"):
        compact(Handle(filled))


def test_the_command_says_both_sizes(filled: Path, cli: Callable[..., Answer]) -> None:
    add_orphans(filled)
    answer = cli("compact", "--db", filled)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith(f"{filled}: ")
    before, after = re.findall(r"([\d.]+) MB", answer.err)
    assert float(after) < float(before)
