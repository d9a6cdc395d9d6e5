"""Descriptions of every format, from real files into a catalog and out of it again."""

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import catalog
from catalog.errors import CatalogError, NotFoundError, UsageError
from catalog.ingest.descriptions import files, importing
from catalog.ingest.descriptions.formats import FORMATS
from catalog.queries.row_checks import check_rows
from catalog.store.combining import merge
from catalog.store.compacting import compact
from catalog.store.digests import rows_digest
from catalog.store.handle import Handle
from catalog.store.lake.exporting import export_lake
from catalog.store.lake.source import SourceRows
from catalog.store.sealing import sealed_columns
from catalog.store.upgrading import ensure_catalog
from catalog.tables import table_named
from tests import synthetic
from tests.support import Answer, query

COLUMNS = "layer, neuron, sign_case, description, explainer, scorer, score, source"
ROWS = f"select {COLUMNS} from descriptions where model = 'm' order by all"
Shown = list[tuple[Any, ...]]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """An entry `m` of two layers of three neurons, and another, `other`."""
    path = tmp_path / "c.duckdb"
    ensure_catalog(Handle(path))
    for alias in ("m", "other"):
        entry = synthetic.entry(alias, n_layers=2, d_mlp=3, source=f"org/{alias}")
        cosines = {f"{at // 3}.{at % 3}": (0.1, 0.2, 0.3) for at in range(6)}
        synthetic.load_weights(path, entry, cosines)
    return path


def json_lines(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def neuronpedia(folder: Path) -> Path:
    """A folder of batches, of which one is gzipped; a set of features is among them."""
    row = {"modelId": "org/m", "layer": "1", "index": "2", "explanationModelName": "gpt-4o-mini"}
    row |= {"typeName": "oai_token-act-pair", "id": "cl1", "description": "months of the year "}
    scores = [{"value": 0.75, "explanationScoreTypeName": "recall_alt"}]
    features = {**row, "layer": "1-res-jb", "id": "cl3"}
    json_lines(folder / "batch-0.jsonl.gz", row, features)
    json_lines(
        folder / "batch-1.jsonl",
        {**row, "id": "cl2", "index": 0, "description": "naïve 界\x1b[31m", "scores": scores},
    )
    return folder


def transluce(folder: Path) -> Path:
    """A Parquet file with both polarities."""
    rows = [
        {"layer": 0, "neuron": 1, "polarity": 1, "description": "opens quotes", "score": 0.5},
        {"layer": 0, "neuron": 1, "polarity": -1, "description": "closes them", "score": None},
    ]
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
    return folder / "t.parquet"


def delphi(folder: Path) -> Path:
    """A result folder: one latent with two scorers, one without, one that is no neuron."""
    texts = {
        "layers.1.mlp_latent2": "dates",
        "transformer.h.0.mlp.act_latent0": "digits",
        "layers.1_latent7": "a feature of the residual stream",
    }
    (folder / "explanations").mkdir(parents=True)
    for name, text in texts.items():
        (folder / "explanations" / f"{name}.txt").write_text(json.dumps(text))
    for scorer, judged in {"detection": [True, True, False, True], "fuzz": [False]}.items():
        (folder / "scores" / scorer).mkdir(parents=True)
        samples = [{"correct": each, "activating": True} for each in [*judged, None]]
        (folder / "scores" / scorer / "layers.1.mlp_latent2.txt").write_text(json.dumps(samples))
    config = {"model": "org/m", "explainer_model": "llama"}
    (folder / "run_config.json").write_text(json.dumps(config))
    return folder


def bills(folder: Path) -> Path:
    """A folder of layers with a file a neuron."""
    measured: dict[int, list[float | None]] = {0: [0.25, 0.5], 2: [None]}
    for neuron, scores in measured.items():
        row = {
            "dataclass_name": "NeuronSimulationResults",
            "neuron_id": {"dataclass_name": "NeuronId", "layer_index": 1, "neuron_index": neuron},
            "scored_explanations": [
                {
                    "explanation": f"explanation {at} of {neuron}",
                    "scored_simulation": {"ev_correlation_score": score},
                }
                for at, score in enumerate(scores)
            ],
        }
        json_lines(folder / "1" / f"{neuron}.jsonl", row)
    return folder


def table(folder: Path) -> Path:
    """A CSV with lines within a value."""
    folder.mkdir()
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "neuron_id", "sign_case", "description", "score", "source"])
        writer.writerow(["m", "0.0", "gate+_in-", "two\n\nlines, quoted", "0.5", "paper"])
        writer.writerow(["m", "1.1", "", "plain", "", ""])
    return folder / "t.csv"


EXPECTED: dict[str, tuple[Callable[[Path], Path], Shown]] = {
    "neuronpedia": (
        neuronpedia,
        [
            (1, 0, "any", "naïve 界\x1b[31m", "gpt-4o-mini", "recall_alt", 0.75, "neuronpedia"),
            (1, 2, "any", "months of the year", "gpt-4o-mini", None, None, "neuronpedia"),
        ],
    ),
    "transluce": (
        transluce,
        [
            (0, 1, "+", "opens quotes", None, "simulation", 0.5, "transluce"),
            (0, 1, "-", "closes them", None, "simulation", None, "transluce"),
        ],
    ),
    "delphi": (
        delphi,
        [
            (0, 0, "any", "digits", "llama", None, None, "delphi"),
            (1, 2, "any", "dates", "llama", "detection", 0.75, "delphi"),
            (1, 2, "any", "dates", "llama", "fuzz", 0.0, "delphi"),
        ],
    ),
    "bills": (
        bills,
        [
            (1, 0, "any", "explanation 0 of 0", None, "simulation", 0.25, "bills"),
            (1, 0, "any", "explanation 1 of 0", None, "simulation", 0.5, "bills"),
            (1, 2, "any", "explanation 0 of 2", None, "simulation", None, "bills"),
        ],
    ),
    "table": (
        table,
        [
            (0, 0, "gate+_in-", "two\n\nlines, quoted", None, None, 0.5, "paper"),
            (1, 1, "any", "plain", None, None, None, "table"),
        ],
    ),
}


def test_every_format_is_tried() -> None:
    assert set(EXPECTED) == set(FORMATS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_gives_its_rows_and_twice_changes_nothing(
    db: Path, tmp_path: Path, name: str
) -> None:
    make, expected = EXPECTED[name]
    path = make(tmp_path / name)
    opened = catalog.open(db)
    first = opened.import_descriptions(path, name, model="m")
    assert query(db, ROWS) == expected
    assert first.n_new == {"m": len(expected)}
    before = query(db, "select run_id, imported_at from descriptions, ingest_runs order by all")
    again = opened.import_descriptions(path, name, model="m")
    assert again.n_new == {"m": 0}
    assert before == query(
        db, "select run_id, imported_at from descriptions, ingest_runs order by all"
    )
    assert all(check.agree for check in check_rows(Handle(db), "m"))


def test_what_changed_replaces_what_had_its_key(db: Path, tmp_path: Path) -> None:
    opened = catalog.open(db)
    row = {"layer": 0, "neuron": 0, "description": "a", "source": "s", "source_key": "k"}
    for said in ({}, {"description": "b"}, {"score": 1.5}, {}, {"score": 2}):
        path = json_lines(tmp_path / "t.jsonl", row, {**row, **said})
        opened.import_descriptions(path, "table", model="m")
        shown = query(db, "select description, score from descriptions")
        assert shown == [(said.get("description", "a"), said.get("score"))]


def test_strangers_and_unknown_neurons_are_counted_and_named(db: Path, tmp_path: Path) -> None:
    row = {"layer": 0, "neuron": 0, "description": "a", "model": "m"}
    path = json_lines(
        tmp_path / "t.jsonl",
        row,
        {**row, "layer": 2},
        {**row, "neuron": 3},
        {**row, "model": "gpt2"},
        *({**row, "model": f"x{at}"} for at in range(20)),
    )
    found = catalog.open(db).import_descriptions(path, "table", {"x0": "other"})
    assert (found.n_new, found.n_read) == ({"m": 1, "other": 1}, {"m": 1, "other": 1})
    unknown, strangers = found.left_out
    assert unknown.startswith("2 descriptions are of neurons") and "'2.0 of m'" in unknown
    assert strangers.startswith("20 descriptions are of models") and "'gpt2'" in strangers
    assert strangers.endswith(", and others.")


GOOD = {"layer": 0, "neuron": 0, "description": "a"}
WRONG: dict[str, tuple[str, str, str]] = {
    "no column": ("table", json.dumps({"layer": 0, "neuron": 0}), "lacks description"),
    "no JSON": ("table", json.dumps(GOOD) + "\n{'", "line 2: no JSON"),
    "no object": ("neuronpedia", "3", "no JSON object"),
    "no index": ("table", json.dumps({**GOOD, "layer": -1}), "layer is '-1'"),
    "no score": ("table", json.dumps({**GOOD, "score": "high"}), "score is 'high'"),
    "no case": ("table", json.dumps({**GOOD, "sign_case": "up"}), "sign_case is 'up'"),
    "no text": ("table", json.dumps({**GOOD, "description": " "}), "empty description"),
    "no string": ("table", json.dumps({**GOOD, "description": 3}), "no text"),
    "endless": ("table", json.dumps({**GOOD, "description": "a" * 20_001}), "at most 20,000"),
    "polarity": ("transluce", json.dumps({**GOOD, "polarity": 2}), "polarity is '2'"),
    "no list": (
        "bills",
        json.dumps({"neuron_id": 3, "scored_explanations": []}),
        "neuron_id is no object",
    ),
    "a file": ("delphi", "", "no result folder"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_and_nothing_imported(db: Path, tmp_path: Path, name: str) -> None:
    file_format, text, said = WRONG[name]
    (tmp_path / "f.jsonl").write_text(text)
    with pytest.raises(UsageError, match=said):
        catalog.open(db).import_descriptions(tmp_path / "f.jsonl", file_format, model="m")
    assert query(db, ROWS) == []


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl.gz"])
def test_bytes_of_no_format_are_refused(db: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"f{ending}"
    path.write_bytes(b"\x1f\x8b\x08\x00\xff\x00" * 40)
    with pytest.raises(UsageError, match="Nothing was imported"):
        catalog.open(db).import_descriptions(path, "table", model="m")


def test_a_huge_file_is_refused_within_bounds(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = json_lines(tmp_path / "f.jsonl", *[{**GOOD, "description": f"{at}"} for at in range(9)])
    monkeypatch.setattr(importing, "MOST_DESCRIPTIONS", 8)
    with pytest.raises(UsageError, match="more than 8"):
        catalog.open(db).import_descriptions(path, "table", model="m")
    monkeypatch.setattr(files, "LONGEST_LINE", 10)
    with pytest.raises(UsageError, match="line 1: over"):
        catalog.open(db).import_descriptions(path, "table", model="m")
    assert query(db, ROWS) == []


@pytest.mark.parametrize(
    ("given", "refusal", "said"),
    [
        ({"model": "absent"}, NotFoundError, "no model 'absent'"),
        ({"names": {"x": "absent"}}, NotFoundError, "no model 'absent'"),
        ({}, UsageError, "Of which model"),
    ],
)
def test_a_model_that_is_not_clear_is_refused(
    db: Path, tmp_path: Path, given: dict[str, Any], refusal: type[CatalogError], said: str
) -> None:
    path = json_lines(tmp_path / "f.jsonl", GOOD)
    with pytest.raises(refusal, match=said):
        catalog.open(db).import_descriptions(path, "table", **given)


def test_nothing_of_the_file_is_here(db: Path, tmp_path: Path) -> None:
    path = json_lines(tmp_path / "f.jsonl", {**GOOD, "layer": 9})
    with pytest.raises(NotFoundError, match=r"no neuron that is here.*'9.0 of m'"):
        catalog.open(db).import_descriptions(path, "table", model="m")


def test_a_person_describes_and_finds_it(db: Path, cli: Callable[..., Answer]) -> None:
    said = ["describe", "1.2", "Writes <b>Again</b>", "--model", "m", "--author", "me", "--db", db]
    assert cli(*said).code == 0
    assert "there already" in cli(*said).err
    rows = query(db, "select sign_case, description, explainer, source from descriptions")
    assert rows == [("any", "Writes <b>Again</b>", "me", "hand")]
    runs = query(db, "select status from ingest_runs where stage = 'descriptions'")
    assert runs == [("finished",)]
    (row,) = catalog.open(db).find(describes="AGAIN").arrow().to_pylist()
    assert (row["model"], row["neuron_id"], row["description"]) == ("m", "1.2", rows[0][1])
    assert not catalog.open(db).find(describes="absent").arrow().num_rows
    shown = cli("show", "1.2", "--model", "m", "--db", db).out
    assert "Writes <b>Again</b>  (hand, me)" in shown
    (described,) = json.loads(cli("show", "1.2", "--model", "m", "--json", "--db", db).out)[
        "descriptions"
    ]
    assert described["description"] == rows[0][1]


@pytest.mark.parametrize(
    ("neuron", "text", "code"), [("9.0", "a", 3), ("x", "a", 2), ("0.0", " ", 2)]
)
def test_what_cannot_be_described(
    db: Path, cli: Callable[..., Answer], neuron: str, text: str, code: int
) -> None:
    assert cli("describe", neuron, text, "--model", "m", "--db", db).code == code


def test_a_case_that_the_model_does_not_have(db: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("describe", "1.2", "a", "--model", "m", "--case", "in+", "--db", db)
    assert answer.code == 2
    assert "m has no sign case in+. There is: any, +, -, gate+_in+" in answer.err


def test_drop_says_how_many_were_written(db: Path, cli: Callable[..., Answer]) -> None:
    for neuron in ("0.0", "0.1"):
        catalog.open(db).describe_neuron(neuron, "mine", "m")
    refused = cli("drop", "m", "--db", db)
    assert refused.code == 2 and "2 descriptions written by hand" in refused.err
    assert cli("drop", "m", "--yes", "--db", db).code == 0
    assert query(db, "select count(*) from description") == [(0,)]
    assert cli("drop", "other", "--db", db).code == 2


def test_merging_takes_those_of_all_once(db: Path, tmp_path: Path) -> None:
    with Handle(db).writing() as connection:
        for run_id in (1, 2):
            columns = sealed_columns(table_named("neuron"))
            found = rows_digest(connection, "neuron", run_id, columns)
            noted = {"rows": {"neuron": {"columns": columns, **found._asdict()}}}
            connection.execute(
                "update ingest_run set notes = $1 where run_id = $2", [json.dumps(noted), run_id]
            )
    second = Path(shutil.copy(db, tmp_path / "second.duckdb"))
    for path, more in ((db, "only here"), (second, "only there")):
        opened = catalog.open(path)
        opened.import_descriptions(bills(tmp_path / "b"), "bills", model="m")
        opened.describe_neuron("0.0", "said in both", "m")
        opened.describe_neuron("0.0", more, "m")
    whole, again = tmp_path / "whole.duckdb", tmp_path / "again.duckdb"
    merge([db, second], whole)
    merge([whole, db], again)
    expected = sorted({*query(db, ROWS), *query(second, ROWS)}, key=str)
    for made in (whole, again):
        assert sorted(query(made, ROWS), key=str) == expected
        assert all(check.agree for check in check_rows(Handle(made), "m"))
    compact(Handle(again))
    export_lake(SourceRows(Handle(again)), tmp_path / "lake")
    lake = catalog.open(tmp_path / "lake")
    assert (
        sorted(map(tuple, (row.values() for row in lake.sql(ROWS).arrow().to_pylist())), key=str)
        == expected
    )
    assert lake.find(describes="only there").arrow().num_rows == 1


def test_the_canonical_reading_turns_what_they_are_about(db: Path, tmp_path: Path) -> None:
    synthetic_id = "0.0"
    path = tmp_path / "flipped.duckdb"
    ensure_catalog(Handle(path))
    entry = synthetic.entry("f", n_layers=1, d_mlp=1)
    synthetic.load_weights(path, entry, {synthetic_id: (-0.5, 0.2, 0.3)})
    opened = catalog.open(path)
    for case in ("any", "+", "gate+_in-"):
        opened.describe_neuron(synthetic_id, f"of {case}", "f", case)
    turned = opened.neuron(synthetic_id, canonical=True).descriptions
    assert {each.description: each.sign_case for each in turned} == {
        "of any": "any",
        "of +": "-",
        "of gate+_in-": "gate+_in+",
    }
