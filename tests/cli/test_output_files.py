"""What `--output` overwrites and what it does not, pipes and devices, and the unfinished file."""

import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import catalog
from tests.support import Answer, command, fingerprint

Cli = Callable[..., Answer]
ROWS = "select 1 as a, 'x' as b"
BEGINNINGS = {
    "table": b"a\n",
    "csv": b"some,rows\n1,2\n",
    "json": b"[\n{}\n]\n",
    "jsonl": b"{}\n",
    "markdown": b"| a |\n",
    "parquet": b"PAR1 and more",
}


@pytest.mark.parametrize("taken", ["r.csv.part", ".r.csv.part", "r.csv.unfinished", "r.csv.tmp"])
def test_no_other_file_is_touched(cli: Cli, known: Path, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    assert cli("sql", ROWS, "--db", known, "--output", tmp_path / "r.csv").code == 0
    assert (tmp_path / taken).read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([taken, "r.csv"])


@pytest.mark.parametrize("format_name", BEGINNINGS)
def test_an_earlier_output_is_overwritten_without_asking(
    cli: Cli, known: Path, tmp_path: Path, format_name: str
) -> None:
    ending = {"table": "txt", "markdown": "md"}.get(format_name, format_name)
    target = tmp_path / f"r.{ending}"
    arguments = ["sql", ROWS, "--db", known, "--output", target, "--format", format_name]
    for before in (b"", BEGINNINGS[format_name]):
        target.write_bytes(before)
        assert cli(*arguments).code == 0
    assert cli(*arguments).code == 0
    assert target.read_bytes() not in (b"", BEGINNINGS[format_name])


OTHERS = {
    "r.csv": b"\x00\x01\x02 a program",
    "notes.md": b"# My notes\n",
    "r.json": b'{"kind": "neuron catalog lake"}\n',
    "r.parquet": b"a,b\n1,2\n",
    "script.py": b"print(1)\n",
    "results": b"a,b\n1,2\n",
    "c.duckdb.wal": b"log",
    "c.duckdb.lock": b"",
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_of_another_kind_is_overwritten_with_force_alone(
    cli: Cli, known: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(OTHERS[name])
    format_name = {".md": "markdown", ".json": "json", ".parquet": "parquet"}.get(
        Path(name).suffix, "csv"
    )
    target = tmp_path / name
    arguments = ["sql", ROWS, "--db", known, "--output", target, "--format", format_name]
    before = fingerprint(tmp_path)
    answer = cli(*arguments)
    assert answer.code == 2
    assert str(target) in answer.err and "--force" in answer.err
    assert fingerprint(tmp_path) == before
    assert cli(*arguments, "--force").code == 0
    assert fingerprint(tmp_path) != before


def test_a_log_is_not_made_up_beside_a_catalog(cli: Cli, db: Path) -> None:
    log = db.with_name(db.name + ".wal")
    assert cli("sql", ROWS, "--db", db, "--output", log, "--format", "csv").code == 2
    assert not log.exists()


@pytest.fixture
def lake(known: Path, once: Callable[..., Path], tmp_path: Path) -> Path:
    """A lake of its own, of a model of `known`."""

    def make(folder: Path) -> None:
        catalog.open(known).export(folder / "lake", ["alpha"])

    return Path(shutil.copytree(once("lake of alpha", make) / "lake", tmp_path / "lake"))


def test_what_a_lake_holds_is_left_alone(cli: Cli, known: Path, lake: Path, tmp_path: Path) -> None:
    before = fingerprint(tmp_path)
    held = [path for path in lake.rglob("*") if path.is_file()]
    for path in held:
        ending = path.suffix.removeprefix(".")
        answer = cli("sql", ROWS, "--db", known, "--output", path, "--format", ending)
        assert answer.code == 2 and "the lake" in answer.err
    assert len(held) > 2 and fingerprint(tmp_path) == before


@pytest.mark.parametrize("more", [[], ["--force"]])
def test_a_catalog_is_never_overwritten(cli: Cli, db: Path, more: list[str]) -> None:
    before = db.read_bytes()
    for name in (db, db.with_name("link.csv")):
        if not name.exists():
            name.symlink_to(db)
        answer = cli("sql", ROWS, "--db", db, "--output", name, "--format", "csv", *more)
        assert answer.code == 2 and "is not overwritten" in answer.err
    assert db.read_bytes() == before


def test_a_figure_is_refused_before_it_is_drawn(cli: Cli, known: Path, tmp_path: Path) -> None:
    target = tmp_path / "f.svg"
    target.write_text("not a drawing")
    arguments = ["plot", "definition", "--db", known, "--output", target]
    assert cli(*arguments).code == 2
    assert target.read_text() == "not a drawing"
    assert cli(*arguments, "--force").code == 0
    assert cli(*arguments).code == 0


def test_a_pipe_without_a_reader_is_refused_and_one_with_it_written(
    known: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    arguments = ("sql", ROWS, "--db", known, "--output", pipe)
    answer = command(*arguments)
    assert (answer.code, "Nobody reads" in answer.err) == (2, True)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    for _ in range(3):  # the reader may not have come yet
        if command(*arguments).code == 0:
            break
    reader.join()
    assert read == ["a,b\n1,x\n"] and pipe.is_fifo()


def test_a_socket_is_refused(cli: Cli, known: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s.csv"))
        answer = cli("sql", ROWS, "--db", known, "--output", tmp_path / "s.csv")
    assert answer.code == 2 and "is a socket" in answer.err


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("put", [_pipe, _zeros], ids=["pipe", "device"])
@pytest.mark.parametrize("ending", ["", ".wal"])
@pytest.mark.parametrize("words", [["models"], ["upgrade"], ["drop", "alpha", "--yes"], ["merge"]])
def test_a_catalog_that_is_no_file_is_refused(
    known: Path, tmp_path: Path, words: list[str], ending: str, put: Callable[[Path], None]
) -> None:
    path = tmp_path / "c.duckdb"
    if ending:
        shutil.copy(known, path)
    put(path.with_name(path.name + ending))
    names = [path, "--into", tmp_path / "new.duckdb"] if words == ["merge"] else ["--db", path]
    answer = command(*words, *names)
    assert answer.code == 6, answer
    assert "plain files" in answer.err and len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("put", [_pipe, _zeros], ids=["pipe", "device"])
@pytest.mark.parametrize("held", ["lake.json", "neurons/model=alpha/part-00000.parquet"])
def test_a_lake_with_a_pipe_or_device_is_refused(
    lake: Path, held: str, put: Callable[[Path], None]
) -> None:
    (lake / held).unlink()
    put(lake / held)
    answer = command("sql", "select count(*) from neurons", "--db", lake)
    assert answer.code == 6, answer
    assert "no plain file" in answer.err or "not as it was written" in answer.err


@pytest.mark.parametrize("put", [_pipe, _zeros], ids=["pipe", "device"])
@pytest.mark.parametrize("held", ["config.json", "model.safetensors", "tokenizer.json", "other"])
def test_a_checkpoint_with_a_pipe_or_device_is_refused(
    cli: Cli, tmp_path: Path, held: str, put: Callable[[Path], None]
) -> None:
    from catalog.ingest.demo import MODEL_FOLDERS

    folder = shutil.copytree(MODEL_FOLDERS["demo"], tmp_path / "model")
    (folder / held).unlink(missing_ok=True)
    put(folder / held)
    for words in (["ingest", folder], ["ingest", folder / held]):
        answer = cli(*words, "--stages", "weights", "--db", tmp_path / "c.duckdb")
        assert answer.code == 4, answer
        assert held in answer.err


def test_a_corpus_that_is_no_file_is_refused(cli: Cli, tmp_path: Path) -> None:
    _pipe(tmp_path / "c.txt")
    for corpus in (tmp_path / "c.txt", "/dev/zero"):
        options = ("--stages", "weights,activations", "--corpus", corpus, "--max-tokens", 100)
        answer = cli("ingest", "demo", *options, "--yes", "--db", tmp_path / "c.duckdb")
        assert answer.code == 4 and "neither a file nor a folder" in answer.err


def test_endless_standard_input_is_no_query(known: Path) -> None:
    with Path("/dev/zero").open("rb") as zeros:
        answer = command("sql", "-", "--db", known, stdin=zeros)
    assert answer.code == 2 and "10,000,000 characters" in answer.err
