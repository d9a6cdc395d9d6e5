"""A checkpoint is found again from any folder, and where it was moved to."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import Answer, execute, query
from tests.tiny_checkpoints import build, save_tokenizer

Cli = Callable[..., Answer]


@pytest.fixture
def db(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog made of the folder `models/tiny`, seen from another folder than its ingest."""
    save_tokenizer(build("llama", tmp_path / "models" / "tiny"))
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "the first of several sentences"}\n' * 2)
    monkeypatch.chdir(tmp_path)
    asked = ("--corpus", texts, "--context-length", "8", "--exemplars", "2")
    answer = cli("ingest", "models/tiny", "--db", "catalog.duckdb", *asked)
    assert answer.code == 0, answer.err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "catalog.duckdb"


def test_a_relative_folder_is_stored_as_where_it_is(db: Path, cli: Cli) -> None:
    assert query(db, "select model, source from models") == [
        ("tiny", str(db.parent / "models" / "tiny"))
    ]
    assert cli("run", "several", "--neuron", "0.1", "--db", db).code == 0
    assert cli("verify", "--exemplars", "3", "--db", db).code == 0


@pytest.mark.parametrize("asked", [("run", "several"), ("verify", "--exemplars", "3")])
def test_a_moved_folder_is_not_there_and_may_be_named(
    db: Path, cli: Cli, asked: tuple[str, ...]
) -> None:
    moved = db.parent / "moved"
    shutil.move(db.parent / "models" / "tiny", moved)
    refused = cli(*asked, "--db", db)
    assert (refused.code, refused.out) == (4, "")
    assert f"{db.parent / 'models' / 'tiny'} and that is not there" in refused.err
    assert "--checkpoint PATH" in refused.err
    assert cli(*asked, "--db", db, "--checkpoint", "../moved").code == 0


def test_a_relative_path_of_an_older_catalog_is_no_hub_id(db: Path, cli: Cli) -> None:
    execute(db, "update model set source = 'models/tiny'")
    refused = cli("run", "several", "--db", db)
    assert refused.code == 4
    assert "models/tiny, a path from the folder of its ingest, and that is not there" in refused.err
    assert "Hub" not in refused.err


def test_another_checkpoint_is_not_taken_for_it(db: Path, cli: Cli) -> None:
    other = save_tokenizer(build("llama", db.parent / "other", seed=1))
    refused = cli("run", "several", "--db", db, "--checkpoint", other)
    assert refused.code == 4
    assert f"{other} is not the checkpoint that was ingested as tiny" in refused.err


def test_a_checkpoint_of_no_use_is_not_passed_over(db: Path, cli: Cli) -> None:
    refused = cli("verify", "--rows", "--checkpoint", "../moved", "--db", db)
    assert refused.code == 2
    assert "goes with --exemplars" in refused.err
