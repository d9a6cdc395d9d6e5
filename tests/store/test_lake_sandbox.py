"""What SQL on a lake may do: read the lake, with and without the check of statements."""

import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from catalog.errors import CatalogError, SqlError
from catalog.store.handle import Handle
from catalog.store.lake.exporting import export_lake
from catalog.store.lake.source import SourceRows
from catalog.store.reading import reading, run_query
from catalog.store.statements import checked_statement
from tests.store.test_sandbox import OTHERWISE_REFUSED, PASSING, REFUSED
from tests.support import fingerprint

NEURONS = "lake://neurons/model=alpha/part-00000.parquet"
ESCAPES = [
    f"copy (select 1 as a) to '{NEURONS}' (format parquet)",
    "copy (select 1 as a) to 'lake://lake.json' (format csv)",
    "copy (select 1 as a) to 'lake://new.csv'",
    "copy (select 1 as a) to 'lake://new.parquet' (format parquet, use_tmp_file false)",
    "copy (select 1 as a, 2 as b) to 'lake://neurons' (partition_by (a), overwrite)",
    "copy (select 1 as a) to 'lake://new' (format parquet, per_thread_output)",
    "explain analyze copy (select 1 as a) to 'lake://new.csv'",
    "export database 'lake://new'",
    "import database 'lake://neurons'",
    "attach 'lake://new.duckdb'",
    "attach '{lake}/new.duckdb'",
    "copy (select 1) to '{lake}/new.csv'",
    "copy (select 1) to 'file://{lake}/new.csv'",
    "copy (select 1) to '{lake}/neurons/model=alpha/part-00000.parquet' (format parquet)",
    "copy (select 1) to '/dev/stdout'",
    "export database '{lake}/new'",
    "from read_blob('{lake}/lake.json')",
    "from read_text('/etc/passwd')",
    "from read_text('lake://../../../../../../etc/passwd')",
    "from read_parquet('lake://*/*/*.parquet')",
    "from glob('{lake}/*')",
    "from glob('/etc/*')",
    "from enable_logging(storage = 'file', storage_path = 'lake://log')",
    "from enable_logging(storage = 'file', storage_path = '{lake}/log')",
    "set profiling_output = 'lake://profile'",
    "set log_query_path = '{lake}/log'",
    "set temp_directory = '{lake}'",
    "set secret_directory = '{lake}'",
    "set allowed_directories = ['/']",
    "reset allowed_directories",
    "set allowed_paths = ['/etc/passwd']",
    "set enable_external_access = true",
    "set disabled_filesystems = ''",
    "set lock_configuration = false",
    "create persistent secret s (type s3, key_id 'k')",
    "load httpfs",
    "install 'lake://extension'",
    "load '{lake}/x.duckdb_extension'",
]
HARMLESS = [
    "from glob('lake://**')",
    "from read_text('lake://lake.json')",
    "from read_text('lake:///etc/passwd')",
    "create table t as select 1",
    "checkpoint",
]
OF_ONE_DUCKDB = [
    f"attach '{NEURONS}' as other",
    "from enable_profiling(save_location = 'lake://profile.json', format = 'json')",
]
"""What one of DuckDB 1.5 and 2 refuses by itself; it changes nothing in the other either."""


@pytest.fixture(scope="module")
def lake(known: Path, once: Callable[..., Path]) -> Path:
    def make(folder: Path) -> None:
        export_lake(SourceRows(Handle(known)), folder / "lake")

    return once("sandboxed lake", make) / "lake"


@pytest.fixture(scope="module")
def alone(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake in a folder of its own, which every statement here must leave as it is."""
    return Path(shutil.copytree(lake, tmp_path_factory.mktemp("sandbox") / "lake"))


@pytest.mark.parametrize("sql", ESCAPES)
def test_the_walls_hold_without_the_check_of_statements(alone: Path, sql: str) -> None:
    before = fingerprint(alone.parent)
    with pytest.raises((duckdb.Error, CatalogError)), reading(alone) as connection:
        connection.execute(sql.format(lake=alone)).fetchall()
    assert fingerprint(alone.parent) == before


@pytest.mark.parametrize("sql", OF_ONE_DUCKDB)
def test_what_one_duckdb_refuses_changes_nothing_in_another(alone: Path, sql: str) -> None:
    before = fingerprint(alone.parent)
    with suppress(duckdb.Error, CatalogError), reading(alone) as connection:
        connection.execute(sql).fetchall()
    assert fingerprint(alone.parent) == before


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_passes_the_walls_finds_and_leaves_nothing(alone: Path, sql: str) -> None:
    before = fingerprint(alone.parent)
    with reading(alone) as connection:
        assert not connection.execute(sql).fetchall() or sql.startswith("create")
    assert fingerprint(alone.parent) == before


def answered(lake: Path, statements: Iterable[str], refusal: type[CatalogError]) -> list[str]:
    """Which of a user's statements one opened lake answers; all others raise the refusal."""
    secret_of_a_notebook = arrow_table = [1, 2]  # DuckDB would find them by name
    assert secret_of_a_notebook is arrow_table
    passed = []
    with reading(lake) as connection:
        for sql in statements:
            written = sql.format(db=lake, folder=lake.parent, lake=lake)
            with suppress(refusal):
                checked = checked_statement(connection, written)
                assert run_query(connection, checked, (), lake, own=False).num_rows > 0, sql
                passed.append(sql)
    return passed


def test_the_check_of_statements_lets_through_what_it_lets_through_of_a_file(alone: Path) -> None:
    before = fingerprint(alone.parent)
    refused = [sql for statements in REFUSED.values() for sql in statements]
    assert answered(alone, [*refused, *OTHERWISE_REFUSED, *PASSING], SqlError) == PASSING
    assert answered(alone, [*ESCAPES, *OF_ONE_DUCKDB, *PASSING], CatalogError) == PASSING
    assert fingerprint(alone.parent) == before
