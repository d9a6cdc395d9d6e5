"""DuckDB's errors are known by texts, which the installed version must still use."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from catalog.store.duckdb_errors import Fault, fault_of
from tests.support import held


def missing(folder: Path) -> None:
    duckdb.connect(str(folder / "none.duckdb"), read_only=True)


def opened_otherwise(folder: Path) -> None:
    with duckdb.connect(str(folder / "a.duckdb")):
        duckdb.connect(str(folder / "a.duckdb"), config={"threads": "1"})


def attached_elsewhere(folder: Path) -> None:
    with duckdb.connect(str(folder / "a.duckdb")), duckdb.connect() as other:
        other.execute(f"attach '{folder / 'a.duckdb'}' as again")


def held_by_another(folder: Path) -> None:
    duckdb.connect(str(folder / "a.duckdb")).close()
    with held(folder / "a.duckdb", "write"):
        duckdb.connect(str(folder / "a.duckdb"))


def something_else(folder: Path) -> None:
    (folder / "a.duckdb").write_bytes(b"something else" * 1000)
    duckdb.connect(str(folder / "a.duckdb"))


def cut_short(folder: Path) -> None:
    path = folder / "a.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table a as from range(1_000_000)")
    path.write_bytes(path.read_bytes()[:300_000])
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("select sum(range) from a").fetchall()


def no_memory(_: Path) -> None:
    with duckdb.connect(config={"memory_limit": "10MB", "temp_directory": ""}) as connection:
        connection.execute("select list(range) from range(50_000_000)").fetchall()


@pytest.mark.parametrize(
    ("provoke", "fault"),
    [
        (missing, Fault.MISSING),
        (opened_otherwise, Fault.TAKEN),
        (attached_elsewhere, Fault.TAKEN),
        (held_by_another, Fault.TAKEN),
        (something_else, Fault.DAMAGED),
        (cut_short, Fault.DAMAGED),
        (no_memory, Fault.NO_MEMORY),
    ],
)
def test_an_error_of_the_installed_duckdb_is_known(
    tmp_path: Path, provoke: Callable[[Path], None], fault: Fault
) -> None:
    with pytest.raises(duckdb.Error) as raised:
        provoke(tmp_path)
    assert fault_of(raised.value) is fault


def test_an_error_in_sql_is_no_fault_of_the_file() -> None:
    with duckdb.connect() as connection, pytest.raises(duckdb.Error) as raised:
        connection.execute("selct 1")
    assert fault_of(raised.value) is None
