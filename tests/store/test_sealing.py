"""Digests of all rows: kept by whatever writes, compared by `catalog verify`."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.errors import MismatchError
from catalog.queries.row_checks import check_rows
from catalog.store.combining import merge
from catalog.store.compacting import compact
from catalog.store.dropping import drop, find_drop
from catalog.store.handle import Handle
from catalog.store.lake.exporting import export_lake
from catalog.store.lake.source import SourceRows
from catalog.store.sealing import sealed_tables
from catalog.views import VIEWS
from tests.support import Answer, execute, query

EDITS = {
    "model": "update model set chance_95 = 0.5 where alias = 'alpha'",
    "vocabulary": "update vocabulary set n_tokens = n_tokens + 1",
    "token": "update token set token = 'x' where token_id = 3",
    "corpus": "update corpus set n_tokens = n_tokens + 1",
    "context": "update context set text = text || '.' where context_id = 0",
    "model_corpus": "update model_corpus set name = 'y'",
    "ingest_run": "update ingest_run set notes = '{' where run_id = 1",
    "current_rows": "delete from current_rows where bulk_table = 'top_token'",
    "direction": "update direction set sign = '-' where direction = 0",
    "neuron": "update neuron set functional_role = 'entropy' where run_id = 3 and layer = 28",
    "row_digest": "update row_digest set n_rows = n_rows + 1 where of_table = 'token'",
}
Cli = Callable[..., Answer]


def differing(path: Path) -> set[str]:
    return {check.rows_of for check in check_rows(Handle(path), "alpha") if not check.agree}


def test_every_table_with_rows_that_are_shown_is_checked(db: Path) -> None:
    with_rows = {
        table.name
        for table in sealed_tables()
        if query(db, f"select count(*) from {table.name}") != [(0,)]
    }
    assert {check.rows_of for check in check_rows(Handle(db), "alpha")} >= with_rows
    assert not differing(db)


@pytest.mark.parametrize("table", EDITS)
def test_an_edit_is_seen_and_not_sealed_over(table: str, db: Path, cli: Cli) -> None:
    execute(db, EDITS[table])
    answer = cli("verify", "alpha", "--db", db)
    assert answer.code == 8, answer
    assert "Error: What is stored differs: rows of " in answer.err
    named = "token" if table == "row_digest" else table
    assert named in differing(db)
    with Handle(db).writing() as connection:
        connection.execute("update model set source = 'elsewhere' where alias = 'beta'")
    assert named in differing(db)
    compact(Handle(db))
    # What belongs to the program is made anew by a compact.
    assert (named in differing(db)) == (table != "direction")


@pytest.mark.parametrize("table", [name for name in EDITS if name not in ("direction",)])
def test_a_merge_refuses_what_was_edited(table: str, db: Path, tmp_path: Path) -> None:
    execute(db, EDITS[table])
    with pytest.raises(Exception, match=r"does not hold|contradicts itself") as refused:
        merge([db], tmp_path / "merged.duckdb")
    assert isinstance(refused.value, MismatchError) or table in ("ingest_run", "current_rows")
    assert not (tmp_path / "merged.duckdb").exists()


def test_rows_of_other_entries_are_named_too(db: Path, cli: Cli) -> None:
    execute(db, "update model set d_model = 65 where alias = 'beta'")
    assert "rows of model" in cli("verify", "alpha", "--db", db).err


@pytest.mark.parametrize("damage", [None, EDITS["model"], EDITS["current_rows"], EDITS["token"]])
def test_a_drop_takes_digests_along(damage: str | None, db: Path, cli: Cli) -> None:
    execute(db, *filter(None, [damage]))
    drop(find_drop(Handle(db), "alpha"))
    assert cli("verify", "beta", "--db", db).code == 0
    kept = query(db, "select distinct of_table from row_digest order by 1")
    assert kept == [("current_rows",), ("direction",), ("ingest_run",), ("model",), ("neuron",)]


@pytest.mark.parametrize(
    "lost", ["delete from row_digest", "update row_digest set hashing = 'of another DuckDB'"]
)
def test_nothing_to_compare_with_is_no_success(lost: str, db: Path, cli: Cli) -> None:
    execute(db, lost)
    answer = cli("verify", "alpha", "--db", db)
    assert answer.code == 8
    assert "so they were not checked" in answer.err
    assert f"catalog upgrade --db {db}" in answer.err.replace("\n", " ")
    assert cli("upgrade", "--db", db).code == 0
    assert cli("verify", "alpha", "--db", db).code == 0


def test_an_upgrade_does_not_seal_damage_over(db: Path, cli: Cli) -> None:
    execute(db, EDITS["token"])
    assert cli("upgrade", "--db", db).code == 0
    assert differing(db) == {"token"}


@pytest.fixture
def lake(db: Path) -> Path:
    export_lake(SourceRows(Handle(db)), db.parent / "lake")
    return db.parent / "lake"


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_one_bit_of_a_lake_is_seen(view: str, lake: Path, cli: Cli) -> None:
    assert cli("verify", "alpha", "--db", lake).code == 0
    part = lake / view / "model=alpha" / "part-00000.parquet"
    whole = part.read_bytes()
    for at in (4, len(whole) // 2, len(whole) - 9):
        part.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        answer = cli("verify", "alpha", "--db", lake)
        assert (answer.code, f"rows of {view}" in answer.err) == (8, True), answer
    part.unlink()
    assert cli("verify", "alpha", "--db", lake).code == 8


def test_a_manifest_that_was_edited_is_seen(lake: Path, cli: Cli) -> None:
    manifest = lake / "lake.json"
    stated = json.loads(manifest.read_text())
    stated["columns"]["neurons"]["norm_in"] = "DOUBLE"
    manifest.write_text(json.dumps(stated))
    answer = cli("verify", "alpha", "--db", lake)
    assert (answer.code, "rows of lake.json" in answer.err) == (8, True), answer


@pytest.mark.parametrize("name", ["lake.json", "neurons/model=alpha/part-00000.parquet"])
@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
def test_what_is_no_plain_file_is_not_opened(name: str, kind: str, lake: Path, cli: Cli) -> None:
    path = lake / name
    path.unlink()
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    for words in (["models"], ["sql", "from neurons"], ["verify", "alpha"]):
        answer = cli(*words, "--db", lake)
        assert answer.code in ((6,) if name == "lake.json" else (0, 6, 8)), answer
        assert answer.code or words == ["models"]
        assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"rows": 6', '"rows": Infinity', 1),
        lambda text: text.replace('"rows": 6', '"rows": 1e999', 1),
        lambda text: text.replace('"rows": 6', '"rows": NaN', 1),
        lambda text: text + " " * (16 << 20),
    ],
    ids=["Infinity", "1e999", "NaN", "too long"],
)
def test_a_manifest_that_no_export_writes(
    damage: Callable[[str], str], lake: Path, cli: Cli
) -> None:
    manifest = lake / "lake.json"
    damaged = damage(manifest.read_text())
    assert damaged != manifest.read_text()
    manifest.write_text(damaged)
    answer = cli("models", "--db", lake)
    assert answer.code == 6
    assert "lake.json" in answer.err
