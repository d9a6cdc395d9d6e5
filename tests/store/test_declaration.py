"""A column or table costs its declaration, a migration and the view's select: all else follows."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from catalog import schema, tables, views
from catalog.declaration import Column, Table
from catalog.queries.row_checks import check_rows
from catalog.store import upgrading
from catalog.store.combining import merge
from catalog.store.compacting import compact
from catalog.store.handle import Handle
from catalog.store.lake.exporting import export_lake
from catalog.store.lake.source import SourceRows
from catalog.store.sealing import Unit, unseal
from catalog.store.upgrading import ensure_catalog
from catalog.store.version import SCHEMA_VERSION
from tests import synthetic
from tests.support import execute, query

SHARE = Column("scratch_share", "FLOAT", "share of what a test makes up", nullable=True)
WORD = Table(
    "scratch_word",
    "Words that somebody has for an entry.",
    "model",
    (Column("model_id", "INTEGER", "number of the entry"), Column("word", "TEXT", "a word")),
)
ROW = Table(
    "scratch_row",
    "Rows of a stage.",
    "run",
    (Column("run_id", "INTEGER", "number of the run"), Column("size", "INTEGER", "a size")),
    ("weights",),
)
MIGRATION = f"""
from alembic import op

revision = "9999"
down_revision = "{SCHEMA_VERSION}"


def upgrade() -> None:
    op.execute("alter table neuron add column scratch_share float")
    op.execute("create table scratch_word (model_id integer not null, word text not null)")
    op.execute("create table scratch_row (run_id integer not null, size integer not null)")
"""


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program with one column and two tables more; a folder to work in."""
    neuron = tables.table_named("neuron")
    wider = replace(neuron, columns=(*neuron.columns, SHARE))
    every = tuple(wider if table is neuron else table for table in tables.TABLES)
    every = (*every, WORD, ROW)
    scripts = [
        script.replace("n.null_space_share,", "n.null_space_share, n.scratch_share,")
        for script in views.view_scripts()
    ]
    migrations = tmp_path / "migrations"
    shutil.copytree(str(upgrading._MIGRATIONS), migrations)
    (migrations / "versions" / "v9999_scratch.py").write_text(MIGRATION)
    for module in ("tables", "store.copying", "store.contents"):
        monkeypatch.setattr(f"catalog.{module}.TABLES", every)
    monkeypatch.setattr(upgrading, "view_scripts", lambda: scripts)
    monkeypatch.setattr("catalog.store.reader_views.view_scripts", lambda: scripts)
    monkeypatch.setattr(upgrading, "_MIGRATIONS", migrations)
    for module in ("upgrading", "version", "lake.manifest"):
        monkeypatch.setattr(f"catalog.store.{module}.SCHEMA_VERSION", "9999")
    return tmp_path


@pytest.fixture
def filled(declared: Path) -> Handle:
    """A catalog of one neuron, whose new column a stage has filled."""
    catalog = Handle(declared / "c.duckdb")
    ensure_catalog(catalog)
    synthetic.load_weights(catalog.file, synthetic.entry("x"), {"0.0": (0.1, 0.2, 0.3)})
    with catalog.writing() as connection:
        unseal(connection, Unit("neuron", 1))
        connection.execute("update neuron set scratch_share = 0.25")
        connection.execute("insert into scratch_word values (1, 'a'), (1, 'b')")
        connection.execute("insert into scratch_row values (1, 3)")
        connection.execute("insert into current_rows values ('scratch_row', 1, 1, null)")
        connection.execute("update ingest_run set notes = '{}'")
    return catalog


def shares(catalog: Handle) -> list[float]:
    return [row["scratch_share"] for row in catalog.rows("select scratch_share from neurons")]


def test_the_metadata_has_it(declared: Path) -> None:
    made = schema.metadata().tables["neuron"].columns["scratch_share"]
    assert (made.nullable, made.comment) == (True, SHARE.doc)


def test_the_view_explains_it(filled: Handle) -> None:
    comments = query(
        filled.file,
        "select comment from duckdb_columns() "
        "where table_name = 'neurons' and column_name = 'scratch_share'",
    )
    assert comments == [(SHARE.doc,)]


def test_merge_compact_and_lake_keep_it(filled: Handle, declared: Path) -> None:
    assert shares(filled) == [0.25]
    compact(filled)
    assert shares(filled) == [0.25]
    merge([filled.file], declared / "merged.duckdb")
    assert shares(Handle(declared / "merged.duckdb")) == [0.25]
    export_lake(SourceRows(filled), declared / "lake")
    assert shares(Handle(declared / "lake")) == [0.25]


EDITS = {
    "neuron": "update neuron set scratch_share = 0.5",
    "scratch_word": "update scratch_word set word = 'c' where word = 'b'",
    "scratch_row": "update scratch_row set size = 4",
}


def differing(catalog: Handle) -> set[str]:
    """Tables that `verify` finds changed."""
    return {check.rows_of for check in check_rows(catalog, "x") if not check.agree}


@pytest.mark.parametrize("table", EDITS)
@pytest.mark.parametrize("way", ["as made", "compacted", "merged"])
def test_verify_covers_it_on_arrival(filled: Handle, declared: Path, table: str, way: str) -> None:
    catalog = filled
    if way == "compacted":
        compact(catalog)
    if way == "merged":
        catalog = Handle(declared / "merged.duckdb")
        merge([filled.file], catalog.file)
    assert not differing(catalog)
    execute(catalog.file, EDITS[table])
    assert differing(catalog) == {table}
    with catalog.writing() as connection:
        connection.execute("update model set source = 'elsewhere'")
    assert differing(catalog) == {table}
