"""Files of descriptions that strangers made to hang, to fill the memory or to break the program."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import catalog
from catalog.errors import UsageError
from catalog.ingest.descriptions import importing
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
from tests import synthetic
from tests.support import Answer, python, query

GOOD = {"layer": 0, "neuron": 0, "description": "a"}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """An entry `m` of one neuron."""
    path = tmp_path / "c.duckdb"
    ensure_catalog(Handle(path))
    entry = synthetic.entry("m", n_layers=1, d_mlp=1)
    synthetic.load_weights(path, entry, {"0.0": (0.1, 0.2, 0.3)})
    return path


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "f.jsonl")
    return folder / "f.jsonl"


def device(folder: Path) -> Path:
    (folder / "f.jsonl").symlink_to("/dev/zero")
    return folder / "f.jsonl"


def folder_with_a_pipe(folder: Path) -> Path:
    (folder / "a.jsonl").write_text(json.dumps(GOOD))
    pipe(folder)
    return folder


def results_with_a_pipe(folder: Path) -> Path:
    (folder / "explanations").mkdir()
    os.mkfifo(folder / "explanations" / "layers.0.mlp_latent0.txt")
    return folder


def one(row: object) -> Callable[[Path], Path]:
    """A file of JSON lines with one row, an object or text."""

    def make(folder: Path) -> Path:
        text = row if isinstance(row, str) else json.dumps(row)
        (folder / "f.jsonl").write_text(text)
        return folder / "f.jsonl"

    return make


HOSTILE: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "pipe": ("table", pipe, "a pipe, and no plain file"),
    "device": ("bills", device, "a device, and no plain file"),
    "folder with a pipe": ("neuronpedia", folder_with_a_pipe, "a pipe, and no plain file"),
    "results with a pipe": ("delphi", results_with_a_pipe, "a pipe, and no plain file"),
    "lists in lists": ("table", one("[" * 200_000), "no JSON"),
    "objects in objects": ("table", one('{"a":' * 200_000), "no JSON"),
    "a number of many digits": ("table", one('{"layer": %s}' % ("1" * 6000)), "no JSON"),
    "a layer of many digits": ("table", one({**GOOD, "layer": "1" * 5000}), "no whole number"),
    "no numbers": ("table", one('{"layer": NaN, "neuron": Infinity, "description": "a"}'), "'nan'"),
    **{
        f"an endless {name}": ("table", one({**GOOD, name: "x" * 10**6}), "at most 1,000 are read")
        for name in ("model", "explainer", "scorer", "source", "source_key")
    },
    "an endless case": ("table", one({**GOOD, "sign_case": "x" * 10**6}), "sign_case is 'xxx"),
    "endless columns": ("table", one({f"{n}{'x' * 10**5}": n for n in range(9)}), "lacks desc"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_a_short_sentence(
    db: Path, tmp_path: Path, name: str, cli: Callable[..., Answer]
) -> None:
    file_format, make, said = HOSTILE[name]
    (tmp_path / "files").mkdir()
    path = make(tmp_path / "files")
    answer = cli("import", "descriptions", path, "--format", file_format, "--db", db)
    assert answer.code == 2
    assert said in answer.err and "Nothing was imported." in answer.err
    assert len(answer.err) < 1000
    assert query(db, "select count(*) from descriptions") == [(0,)]


def test_names_that_are_left_out_are_cut(
    db: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    path = one({"modelId": "m", "layer": "x" * 10**6, "index": 0, "description": "a"})(tmp_path)
    answer = cli("import", "descriptions", path, "--format", "neuronpedia", "--db", db)
    assert answer.code == 3 and "no MLP neuron" in answer.err
    assert len(answer.err) < 1000


def test_more_text_than_memory_holds_is_refused(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MOST_CHARACTERS", 100)
    path = tmp_path / "f.jsonl"
    path.write_text("\n".join(json.dumps({**GOOD, "description": f"{n:030}"}) for n in range(4)))
    with pytest.raises(UsageError, match="longer than 100 characters together"):
        catalog.open(db).import_descriptions(path, "table")
    assert query(db, "select count(*) from descriptions") == [(0,)]


TAKEN = """
import sys, catalog, pyarrow
from catalog.errors import UsageError
try:
    catalog.open(sys.argv[1]).import_descriptions(sys.argv[2], "table")
except UsageError as error:
    print(error)
print(pyarrow.default_memory_pool().max_memory())
"""


@pytest.mark.parametrize("column", ["description", "beside", "nested"])
def test_a_small_table_that_stands_for_gigabytes_takes_little(
    db: Path, tmp_path: Path, column: str
) -> None:
    n_rows, length = 1000, 1_000_000
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * n_rows), pa.array(["x" * length]))
    if column == "nested":
        texts = pa.ListArray.from_arrays(list(range(n_rows + 1)), texts)
    zeros = pa.array([0] * n_rows)
    columns = {"layer": zeros, "neuron": zeros, "description": pa.array(["a"] * n_rows)}
    pq.write_table(pa.table({**columns, column: texts}), tmp_path / "f.parquet")
    assert (tmp_path / "f.parquet").stat().st_size < 100_000
    *said, taken = python(TAKEN, db, tmp_path / "f.parquet").splitlines()
    assert int(taken) < 100_000_000
    if column == "description":
        assert "at most 20,000 are read" in said[0]
    else:
        assert query(db, "select description from descriptions") == [("a",)]


@pytest.mark.parametrize("where", ["text", "author"])
def test_what_a_person_says_is_unicode(db: Path, cli: Callable[..., Answer], where: str) -> None:
    bytes_of_another = "\udcff\udcfe"
    words = ["0.0", bytes_of_another] if where == "text" else ["0.0", "a"]
    author = ["--author", bytes_of_another] if where == "author" else []
    answer = cli("describe", *words, *author, "--db", db)
    assert answer.code == 2 and "no valid Unicode" in answer.err
