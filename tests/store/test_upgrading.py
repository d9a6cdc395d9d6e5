"""Catalogs of other versions, and files that are no catalogs."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from alembic import command as alembic
from alembic.config import Config
from duckdb_sqlalchemy import ConnectionWrapper
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

import catalog
from catalog.errors import DatabaseError, SchemaOutdated, SchemaTooNew
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
from catalog.store.version import SCHEMA_VERSION
from catalog.store.writing import writing
from tests.support import REPOSITORY, Answer, columns, execute, fingerprint, query

OLDEST = "0001"


def make_oldest(path: Path) -> None:
    """A catalog as the first migration left it, with a neuron and a listed token in it."""
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "migrations"))
    config.attributes["views"] = []
    with duckdb.connect(str(path)) as connection:
        wrapped = ConnectionWrapper(connection)
        engine = create_engine("duckdb://", creator=lambda: wrapped, poolclass=StaticPool)
        with engine.begin() as config.attributes["connection"]:
            alembic.upgrade(config, OLDEST)
    execute(
        path,
        "insert into model values (1, 'old', 'org/old', null, 'f', 'Llama', 'silu', 1, 8, 16, 32, "
        "true, 'folded', 0.6, 0.9, '2025-01-01', 1)",
        "insert into vocabulary values (1, 'd', 1)",
        "insert into token values (1, 5, ' again')",
        "insert into ingest_run values (1, 1, 'weights', 'finished', '2025-01-01', '2025-01-01', "
        "'cpu', 'float32', '{}', '{}', '{}', 1, 1)",
        "insert into current_rows values ('neuron', 1, 1), ('top_token', 1, 1)",
        "insert into neuron values (1, 0, 3, 0.6, 0.7, 0.8, 1, 2, 3, null, null, null, null, null)",
        "insert into top_token values (1, 0, 3, 8, 1, 5, 4.5)",
    )


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    make_oldest(folder / "old.duckdb")
    return folder / "old.duckdb"


def test_upgrading_the_oldest_schema_keeps_its_rows(oldest: Path) -> None:
    assert ensure_catalog(Handle(oldest), upgrade=True)
    assert query(oldest, "select model, neuron_id, io_class from neurons") == [
        ("old", "0.3", "enrichment")
    ]
    assert query(oldest, "select token, vector, sign, score from top_tokens") == [
        (" again", "out", "+", 4.5)
    ]
    assert query(oldest, "select stage, status from ingest_runs") == [("weights", "finished")]


def test_an_upgraded_catalog_is_like_a_new_one(oldest: Path, known: Path) -> None:
    ensure_catalog(Handle(oldest), upgrade=True)
    assert columns(oldest) == columns(known)


def test_upgrading_twice_changes_nothing(oldest: Path) -> None:
    ensure_catalog(Handle(oldest), upgrade=True)
    before = fingerprint(oldest.parent)
    assert not ensure_catalog(Handle(oldest), upgrade=True)
    assert fingerprint(oldest.parent) == before


@pytest.mark.parametrize("reader", [catalog.open, lambda path: writing(path).__enter__()])
def test_an_older_schema_is_named_with_the_way_out(
    oldest: Path, reader: Callable[[Path], object]
) -> None:
    before = fingerprint(oldest.parent)
    with pytest.raises(SchemaOutdated) as refused:
        reader(oldest)
    for said in (OLDEST, SCHEMA_VERSION, f"catalog upgrade --db {oldest}"):
        assert said in str(refused.value)
    assert fingerprint(oldest.parent) == before


def test_the_upgrade_command_mends_it(oldest: Path, cli: Callable[..., Answer]) -> None:
    assert cli("sql", "from models", "--db", oldest).code == 6
    done = cli("upgrade", "--db", oldest)
    assert (done.code, done.out) == (0, "")
    assert SCHEMA_VERSION in done.err
    assert cli("sql", "from models", "--db", oldest).code == 0


def test_upgrade_makes_no_catalog_where_there_is_none(
    tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    assert cli("upgrade", "--db", tmp_path / "none.duckdb").code == 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reader", [catalog.open, lambda path: ensure_catalog(Handle(path))])
def test_a_newer_schema_is_refused_with_both_versions(
    db: Path, reader: Callable[[Path], object]
) -> None:
    execute(db, "update alembic_version set version_num = '9999'")
    before = fingerprint(db.parent)
    with pytest.raises(SchemaTooNew) as refused:
        reader(db)
    assert "9999" in str(refused.value)
    assert SCHEMA_VERSION in str(refused.value)
    assert fingerprint(db.parent) == before


@pytest.mark.parametrize("reader", [catalog.open, lambda path: ensure_catalog(Handle(path))])
@pytest.mark.parametrize("statement", ["create table a (b int)", "create view a as select 1"])
def test_a_database_of_something_else_is_left_alone(
    tmp_path: Path, statement: str, reader: Callable[[Path], object]
) -> None:
    foreign = tmp_path / "foreign.duckdb"
    execute(foreign, statement)
    before = fingerprint(tmp_path)
    with pytest.raises(DatabaseError, match="not a neuron catalog"):
        reader(foreign)
    assert fingerprint(tmp_path) == before


def test_an_ingest_leaves_a_database_of_something_else_alone(
    tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    foreign = tmp_path / "foreign.duckdb"
    execute(foreign, "create table a as select 1 as b")
    before = fingerprint(tmp_path)["foreign.duckdb"]
    assert cli("ingest", "demo", "--db", foreign).code == 6
    assert fingerprint(tmp_path)["foreign.duckdb"] == before


def test_a_failed_migration_leaves_the_old_catalog(oldest: Path) -> None:
    execute(oldest, "create table corpus (mine int)")
    before = columns(oldest)
    with pytest.raises(Exception, match="corpus"):
        ensure_catalog(Handle(oldest), upgrade=True)
    assert columns(oldest) == before
    assert query(oldest, "select version_num from alembic_version") == [(OLDEST,)]
