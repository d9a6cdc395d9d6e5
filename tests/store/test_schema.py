"""The schema: one definition, migrations that lead to it, and the public views over it."""

import ast
from pathlib import Path

import duckdb
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from duckdb_sqlalchemy import ConnectionWrapper
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from catalog import schema
from catalog.store.version import SCHEMA_VERSION
from catalog.tables import bulk_tables
from catalog.taxonomy import DIRECTIONS
from tests.support import REPOSITORY, Row, columns, query, view_names

MIGRATIONS = sorted((REPOSITORY / "migrations" / "versions").glob("v*.py"))

metadata = schema.metadata()

# What users rely on; more columns may follow.
PUBLIC_VIEWS = {
    "models": "model source revision family activation_fn n_layers d_model d_mlp d_vocab gated "
    "weights quantization series step train_tokens n_experts d_expert d_shared d_dense "
    "dense_layers wire_floor chance_95 chance_999 ingested_at",
    "neurons": "model layer neuron neuron_id expert cos_gate_in cos_gate_out cos_in_out flipped "
    "norm_gate norm_in norm_out io_class atypical vocab_variance vocab_skew vocab_kurtosis "
    "null_space_share functional_role",
    "top_tokens": "model layer neuron vector basis sign rank token_id token score",
    "router_tokens": "model layer expert basis sign rank token_id token score",
    "attention_scores": "model layer neuron head_layer head cosine",
    "wires": "model layer neuron to_layer to_neuron reads cosine rank_to rank_from",
    "twins": "model layer neuron vector other_layer other_neuron cosine rank",
    "drifts": "model other_model layer neuron cos_gate cos_in cos_out",
    "activation_stats": "model corpus layer neuron sign_case n_positions frequency routed "
    "mean_post extreme_post mean_gate extreme_gate mean_in extreme_in",
    "exemplars": "model corpus layer neuron sign_case rank post x_gate x_in context_id position "
    "token_id token next_token_id next_token text window_start window_tokens window_post",
    "activation_samples": "model corpus layer neuron context_id position post",
    "corpora": "model corpus source n_contexts n_tokens context_length start_token_id "
    "special_tokens digest",
    "contexts": "model corpus context_id source_ref n_tokens text",
    "tokens": "model token_id token",
    "ablations": "ablation_id model corpus subset n_neurons kind gate_sign post_sign baseline draw "
    "seed n_contexts n_positions created_at",
    "ablation_effects": "ablation_id model corpus baseline draw metric n_positions mean sd min q25 "
    "median q75 max",
    "ablation_differences": "ablation_id model corpus baseline metric n_draws difference low high",
    "ablation_positions": "ablation_id model corpus metric sign rank context_id position token "
    "next_token effect",
    "attributions": "model corpus layer neuron effect magnitude",
    "detectors": "model corpus layer neuron dead n_cover_95 tokens n_fired token_ids n_fired_on",
    "descriptions": "model layer neuron sign_case description explainer scorer score source "
    "source_key imported_at",
    "ingest_runs": "run_id model stage stage_version status started_at finished_at device dtype "
    "parameters versions n_units n_done sample_code",
    "io_classes(0.5)": "model layer neuron neuron_id io_class atypical",
}
PUBLIC_TYPES = {
    ("detectors", "dead"): "BOOLEAN",
    ("detectors", "tokens"): "VARCHAR[]",
    ("exemplars", "window_tokens"): "VARCHAR[]",
    ("exemplars", "window_post"): "FLOAT[]",
    ("ingest_runs", "parameters"): "JSON",
    ("ingest_runs", "versions"): "JSON",
    ("neurons", "flipped"): "BOOLEAN",
    ("neurons", "atypical"): "BOOLEAN",
    ("models", "gated"): "BOOLEAN",
    ("models", "ingested_at"): "TIMESTAMP",
}


def from_definition(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        wrapped = ConnectionWrapper(connection)
        engine = create_engine("duckdb://", creator=lambda: wrapped, poolclass=StaticPool)
        metadata.create_all(engine)


def table_columns(path: Path) -> list[Row]:
    # A column that a migration added stands last: its position is no part of the contract.
    rows = columns(path)
    return sorted((row[0], *row[2:]) for row in rows if row[0] in metadata.tables)


def test_migrations_lead_to_the_definition(known: Path, tmp_path: Path) -> None:
    defined = tmp_path / "defined.duckdb"
    from_definition(defined)
    assert table_columns(known) == table_columns(defined)


def test_migrations_leave_no_table_that_the_definition_lacks(known: Path) -> None:
    tables = query(known, "select table_name from duckdb_tables()")
    assert {name for (name,) in tables} == {*metadata.tables, "alembic_version"}


def test_columns_of_the_definition_are_stored_as_it_says(known: Path, tmp_path: Path) -> None:
    """Compression is set where the definition sets it, which duckdb_columns does not show."""
    defined = tmp_path / "defined.duckdb"
    from_definition(defined)
    text = "select table_name, sql from duckdb_tables() where table_name = $1"
    for name in ("top_token", "exemplar", "activation_sample"):
        made, wanted = (query(path, text, name)[0][1] for path in (known, defined))
        assert made.count("COMPRESSION") == wanted.count("COMPRESSION"), name


def test_schema_version_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [SCHEMA_VERSION]
    assert len(list(script.walk_revisions())) == len(MIGRATIONS)


@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda path: path.stem)
def test_a_migration_imports_nothing_of_ours(migration: Path) -> None:
    """It must do the same for ever, whatever becomes of the program."""
    for node in ast.walk(ast.parse(migration.read_text())):
        if isinstance(node, ast.Import):
            assert [alias.name for alias in node.names if alias.name != "alembic"] == []
        if isinstance(node, ast.ImportFrom):
            assert (node.module, node.level) == ("alembic", 0)


@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda path: path.stem)
def test_a_migration_says_its_reason(migration: Path) -> None:
    assert "Reason: " in (ast.get_docstring(ast.parse(migration.read_text())) or "")


def test_the_views_are_those_of_the_design(known: Path) -> None:
    assert {name for name in PUBLIC_VIEWS if "(" not in name} == set(view_names(known))


@pytest.mark.parametrize("view", PUBLIC_VIEWS)
def test_a_view_has_the_columns_of_the_design_in_order(known: Path, view: str) -> None:
    wanted = PUBLIC_VIEWS[view].split()
    there = [row[0] for row in query(known, f"describe from {view}")]
    assert [name for name in there if name in wanted] == wanted


@pytest.mark.parametrize("view", PUBLIC_VIEWS)
def test_types_of_a_view_are_signed_and_as_the_design_says(known: Path, view: str) -> None:
    for name, kind, *_ in query(known, f"describe from {view}"):
        assert not kind.startswith("U"), (name, kind)
        assert not kind.startswith("HUGEINT"), (name, kind)
        assert kind == PUBLIC_TYPES.get((view, name), kind)


def test_every_view_is_commented(known: Path) -> None:
    rows = query(known, "select view_name, comment from duckdb_views() where not internal")
    assert [name for name, comment in rows if not comment] == []


def test_every_column_of_a_view_is_commented(known: Path) -> None:
    rows = query(
        known,
        "select table_name, column_name from duckdb_columns() where not internal "
        "and table_name in (select view_name from duckdb_views() where not internal) "
        "and comment is null",
    )
    assert rows == []


def test_directions_are_stored_as_the_program_numbers_them(known: Path) -> None:
    rows = query(known, "select vector, basis, sign from direction order by direction")
    assert [tuple(row) for row in rows] == [tuple(each) for each in DIRECTIONS]


def test_tables_of_a_run_are_those_that_carry_one() -> None:
    carrying = {name for name, table in metadata.tables.items() if "run_id" in table.columns}
    assert carrying - {"ingest_run", "current_rows"} == set(bulk_tables())


@pytest.mark.parametrize("table", metadata.tables)
def test_no_index_or_key_stands_in_the_way_of_updates(table: str) -> None:
    defined = metadata.tables[table]
    assert not defined.indexes
    assert not defined.foreign_keys
    assert not defined.primary_key.columns
