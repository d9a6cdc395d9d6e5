"""`catalog export`, and the commands that read what it wrote."""

import csv
import io
import json
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path

import duckdb
import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from catalog.cli.main import run
from catalog.store.handle import Handle
from catalog.store.reading import fetch
from catalog.views import VIEWS
from tests.support import Answer, fingerprint, public_rows

Cli = Callable[..., Answer]
READERS = [
    ["models"],
    ["sql", "select * from exemplars order by all", "--format", "json"],
    ["query", "borders", "--format", "json"],
    ["query", "roles", "-p", "model=beta"],
    ["show", "28.4737", "--model", "alpha"],
    ["show", "28.4737", "--model", "alpha", "--json", "--canonical"],
    ["find", "--class", "enrichment", "--token", " again"],
    ["compare", "alpha:28.4737", "beta:1.2"],
]


@pytest.fixture(scope="module")
def lake(known: Path, once: Callable[..., Path]) -> Path:
    """What the command makes of `known`, to be read only."""

    def make(folder: Path) -> None:
        assert run(["export", str(folder / "lake"), "--db", str(known)]) == 0

    return once("exported lake", make) / "lake"


def refused(answer: Answer, code: int) -> None:
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("Error: ")
    assert answer.err.count("\n") == 1


def test_readers_answer_from_a_lake_what_they_answer_from_the_file(
    cli: Cli, known: Path, lake: Path
) -> None:
    for arguments in READERS:
        assert cli(*arguments, "--db", lake) == cli(*arguments, "--db", known)


def test_a_figure_is_drawn_from_a_lake(cli: Cli, known: Path, lake: Path, tmp_path: Path) -> None:
    pictures = []
    for db in (known, lake):
        output = tmp_path / f"{db.stem}.png"
        assert cli("plot", "classes", "--model", "beta", "--output", output, "--db", db).code == 0
        pictures.append(output.read_bytes())
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["upgrade"],
        ["ingest", "demo"],
        ["drop", "alpha", "--yes"],
        ["compact"],
        ["verify", "alpha", "--exemplars", "1"],
        ["run", "a text", "--model", "alpha"],
    ],
    ids=" ".join,
)
def test_what_writes_or_needs_the_tables_says_that_a_lake_will_not_do(
    cli: Cli, lake: Path, arguments: list[str]
) -> None:
    before = fingerprint(lake.parent)
    for location in (lake, "memory://bucket/lake"):
        answer = cli(*arguments, "--db", location)
        refused(answer._replace(err=answer.err.lstrip()), 6)
        assert "A lake of Parquet files is only read" in answer.err
    assert fingerprint(lake.parent) == before


def test_a_url_is_kept_as_it_was_written(cli: Cli, known: Path) -> None:
    assert cli("export", "memory://url/lake", "--model", "beta", "--db", known).code == 0
    assert "beta" in cli("models", "--db", "memory://url/lake").out
    answer = cli("models", "--db", "memory://url/no/lake")
    refused(answer, 6)
    assert "memory://url/no/lake" in answer.err


def test_a_url_of_no_file_system_is_named(cli: Cli, known: Path) -> None:
    url = "nothing://bucket/lake"
    for answer in (cli("models", "--db", url), cli("export", url, "--db", known)):
        refused(answer, 2)
        assert url in answer.err


@pytest.mark.parametrize("target", ["", "a file"])
def test_a_target_that_can_be_no_lake_is_refused(
    cli: Cli, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("mine")
    assert cli("export", target, "--db", known).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]
    assert (tmp_path / "a file").read_text() == "mine"


def test_what_the_package_behind_a_url_says_is_passed_on(
    cli: Cli, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its errors are not Python's own; botocore itself is not installed here."""

    class BotoCoreError(Exception):
        pass

    class Far(MemoryFileSystem):  # type: ignore[misc]
        def makedirs(self, *_: object, **__: object) -> None:
            raise BotoCoreError("Unable to locate credentials")

    exceptions = types.ModuleType("botocore.exceptions")
    monkeypatch.setattr(exceptions, "BotoCoreError", BotoCoreError, raising=False)
    monkeypatch.setitem(sys.modules, "botocore.exceptions", exceptions)
    fsspec.register_implementation("far", Far, clobber=True)
    answer = cli("export", "far://bucket/lake", "--db", known)
    refused(answer, 7)
    assert "far://bucket/lake cannot be used: Unable to locate credentials" in answer.err


def test_what_is_there_is_refused_by_name(
    cli: Cli, known: Path, lake: Path, tmp_path: Path
) -> None:
    lake = Path(shutil.copytree(lake, tmp_path / "lake"))
    refused(cli("export", lake, "--model", "beta", "--db", known), 6)
    answer = cli("export", lake, "--db", known)
    refused(answer, 6)
    assert "alpha, beta" in answer.err
    assert cli("export", lake, "--model", "beta", "--force", "--db", known).code == 0


def test_a_folder_that_is_no_lake_is_named(cli: Cli, tmp_path: Path) -> None:
    answer = cli("models", "--db", tmp_path)
    refused(answer, 6)
    assert "lake.json" in answer.err


def test_a_target_that_cannot_be_a_folder_is_named(cli: Cli, db: Path) -> None:
    before = db.read_bytes()
    refused(cli("export", db, "--db", db), 2)
    refused(cli("export", db / "lake", "--db", db), 7)
    assert db.read_bytes() == before


@pytest.mark.parametrize("format_name", ["csv", "jsonl"])
def test_a_text_export_that_fails_leaves_no_file_and_can_be_run_again(
    cli: Cli, known: Path, tmp_path: Path, format_name: str
) -> None:
    target = tmp_path / "texts"
    in_the_way = target / f"top_tokens.{format_name}"
    in_the_way.mkdir(parents=True)
    arguments = ["export", target, "--format", format_name, "--force", "--db", known]
    answer = cli(*arguments)
    assert (answer.code, list(target.iterdir())) == (7, [in_the_way]), answer
    in_the_way.rmdir()
    assert cli(*arguments).code == 0


def test_a_text_export_into_a_lake_is_refused(cli: Cli, known: Path, tmp_path: Path) -> None:
    assert cli("export", tmp_path / "lake", "--db", known).code == 0
    before = sorted(tmp_path.rglob("*"))
    answer = cli("export", tmp_path / "lake", "--format", "csv", "--force", "--db", known)
    assert answer.code == 6 and "is a lake of Parquet files" in answer.err
    assert sorted(tmp_path.rglob("*")) == before


def _as_float32(values: list[object]) -> list[object]:
    """The values as a file of float32 gives them back."""
    return [float(np.float32(v)) if isinstance(v, float) else v for v in values]


def test_csv_has_a_file_for_each_view(cli: Cli, known: Path, tmp_path: Path) -> None:
    assert cli("export", tmp_path / "csv", "--format", "csv", "--db", known).code == 0
    for view in VIEWS:
        rows = fetch(known, f"from {view.name} order by model, {', '.join(view.order)}").to_pylist()
        text = (tmp_path / "csv" / f"{view.name}.csv").read_text()
        read = list(csv.DictReader(io.StringIO(text, newline="")))
        assert len(read) == len(rows)
        for shown, row in zip(read, rows, strict=True):
            assert list(shown) == list(row)
            for name, value in row.items():
                if isinstance(value, list):
                    assert _as_float32(json.loads(shown[name])) == value
                elif isinstance(value, (int, float)) and not isinstance(value, bool):
                    assert float(shown[name]) == pytest.approx(value, rel=1e-6)
                elif isinstance(value, str):
                    assert shown[name] == value


def test_json_lines_hold_the_rows(cli: Cli, known: Path, tmp_path: Path) -> None:
    target = tmp_path / "lines"
    assert cli("export", target, "--format", "jsonl", "--model", "alpha", "--db", known).code == 0
    for view in VIEWS:
        sql = f"from {view.name} where model = 'alpha' order by {', '.join(view.order)}"
        names = fetch(known, f"select column_name from (describe {view.name})")[0].to_pylist()
        lines = (target / f"{view.name}.jsonl").read_text().split("\n")[:-1]
        assert all(list(json.loads(line)) == names for line in lines)
        assert len(lines) == fetch(known, sql).num_rows
    (line,) = (target / "corpora.jsonl").read_text().splitlines()
    assert json.loads(line) == fetch(known, "from corpora").to_pylist()[0]
    exemplars = (target / "exemplars.jsonl").read_text().split("\n")[:-1]
    expected = fetch(known, "from exemplars order by rank").to_pylist()
    assert [json.loads(each)["window_tokens"] for each in exemplars] == [
        row["window_tokens"] for row in expected
    ]
    assert json.loads((target / "ingest_runs.jsonl").read_text().splitlines()[0])["versions"] == {
        "neuron-catalog": "0"
    }


def test_text_is_not_written_over_without_force(cli: Cli, known: Path, tmp_path: Path) -> None:
    arguments = ["export", tmp_path / "csv", "--format", "csv", "--model", "beta", "--db", known]
    assert cli(*arguments).code == 0
    answer = cli(*arguments)
    refused(answer, 6)
    assert "neurons.csv" in answer.err
    assert cli(*arguments, "--force").code == 0


def test_a_catalog_file_of_one_model(cli: Cli, known: Path, tmp_path: Path) -> None:
    target = tmp_path / "beta.duckdb"
    arguments = ["export", target, "--format", "duckdb", "--model", "beta", "--db", known]
    assert cli(*arguments).code == 0
    assert public_rows(target)["neurons"] == [
        row for row in public_rows(known)["neurons"] if row[0] == "beta"
    ]
    refused(cli(*arguments), 6)
    refused(cli(*arguments, "--force"), 2)
    refused(cli("export", "memory://x/y.duckdb", "--format", "duckdb", "--db", known), 2)


def test_an_unknown_model_is_named(cli: Cli, known: Path, tmp_path: Path) -> None:
    for format_name in ("parquet", "csv", "jsonl", "duckdb"):
        target = tmp_path / f"of.{format_name}"
        answer = cli("export", target, "--format", format_name, "--model", "gamma", "--db", known)
        refused(answer, 3)
        assert "'gamma'" in answer.err
        assert not target.exists()


def test_an_empty_catalog_has_nothing_to_export(cli: Cli, tmp_path: Path) -> None:
    from catalog.store.upgrading import ensure_catalog

    ensure_catalog(Handle(tmp_path / "empty.duckdb"))
    refused(cli("export", tmp_path / "lake", "--db", tmp_path / "empty.duckdb"), 3)
    assert not (tmp_path / "lake").exists()


def test_duckdb_reads_the_lake_unaided(known: Path, lake: Path) -> None:
    sql = "select model, layer, neuron, cos_in_out from {} order by all"
    with duckdb.connect() as connection:
        rows = connection.execute(sql.format(f"'{lake}/neurons/*/*.parquet'")).fetchall()
    expected = fetch(known, sql.format("neurons")).to_pylist()
    assert rows == [tuple(row.values()) for row in expected]
