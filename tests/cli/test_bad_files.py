"""Files that cannot be used: one sentence, the documented exit code, nothing lost."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import COMMAND, Answer, environment, fingerprint

READERS = [["sql", "from models"], ["models"], ["show", "0.0"], ["query", "classes"]]
INGEST = ["ingest", "demo", "--weights", "raw", "--stages", "weights"]
WRITERS = [["upgrade"], INGEST]


def garbage(path: Path, known: Path) -> None:
    path.write_bytes(b"no database at all\n" * 1000)


def empty(path: Path, known: Path) -> None:
    path.touch()


def truncated(path: Path, known: Path) -> None:
    data = known.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def without_header(path: Path, known: Path) -> None:
    data = known.read_bytes()
    path.write_bytes(bytes(4096) + data[4096:])


def overwritten(path: Path, known: Path) -> None:
    data = known.read_bytes()
    path.write_bytes(data[:12288] + bytes(b ^ 0xFF for b in data[12288:]))


def folder(path: Path, known: Path) -> None:
    path.mkdir()


DAMAGES = [garbage, without_header, overwritten, folder]


def refused(answer: Answer, *codes: int) -> None:
    assert answer.code in codes, answer
    assert answer.out == ""
    assert answer.err.lstrip().startswith("Error: ")
    assert "Traceback" not in answer.err
    assert "fault of the program" not in answer.err
    assert answer.err.strip().count("\n") == 0, answer.err


@pytest.mark.parametrize("arguments", READERS)
def test_a_missing_catalog_is_told_with_the_way_to_make_one(
    cli: Callable[..., Answer], tmp_path: Path, arguments: list[str]
) -> None:
    answer = cli(*arguments, "--db", tmp_path / "none.duckdb")
    refused(answer, 6)
    assert "catalog ingest demo" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("arguments", [*READERS[:2], *WRITERS], ids=lambda words: words[0])
def test_a_damaged_catalog_is_refused_and_left_alone(
    cli: Callable[..., Answer],
    known: Path,
    tmp_path: Path,
    arguments: list[str],
    damage: Callable[[Path, Path], None],
) -> None:
    path = tmp_path / "c.duckdb"
    damage(path, known)
    before = fingerprint(tmp_path)
    refused(cli(*arguments, "--db", path, "--wait", 1), 6)
    after = fingerprint(tmp_path)
    after.pop("c.duckdb.lock", None)
    assert after == before


def test_a_truncated_copy_is_refused(
    cli: Callable[..., Answer], known: Path, tmp_path: Path
) -> None:
    truncated(tmp_path / "c.duckdb", known)
    refused(cli("sql", "from models", "--db", tmp_path / "c.duckdb"), 6)


def test_an_empty_file_is_no_catalog_to_a_reader(
    cli: Callable[..., Answer], known: Path, tmp_path: Path
) -> None:
    empty(tmp_path / "c.duckdb", known)
    refused(cli("models", "--db", tmp_path / "c.duckdb"), 6)


@pytest.mark.parametrize("arguments", WRITERS)
def test_a_folder_that_is_not_there_is_named(
    cli: Callable[..., Answer], tmp_path: Path, arguments: list[str]
) -> None:
    answer = cli(*arguments, "--db", tmp_path / "no" / "where" / "c.duckdb")
    refused(answer, 6, 7)
    assert str(tmp_path / "no" / "where") in answer.err


@pytest.mark.parametrize("target", ["no/where.csv", "."])
def test_an_output_that_cannot_be_written_is_named(
    cli: Callable[..., Answer], known: Path, tmp_path: Path, target: str
) -> None:
    answer = cli("sql", "select 1", "--db", known, "--format", "csv", "--output", tmp_path / target)
    assert answer.code in (2, 7)
    assert str(tmp_path / target) in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("arguments", WRITERS)
def test_without_permission_a_writer_says_so(
    cli: Callable[..., Answer], db: Path, arguments: list[str]
) -> None:
    db.chmod(0o400)
    refused(cli(*arguments, "--db", db), 7)


def test_a_read_only_catalog_can_be_read(cli: Callable[..., Answer], db: Path) -> None:
    db.chmod(0o400)
    db.parent.chmod(0o500)
    try:
        assert cli("models", "--db", db).code == 0
    finally:
        db.parent.chmod(0o700)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes, where this machine allows one."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)], capture_output=True
    )
    if made.returncode:
        pytest.skip("no permission to mount a small file system")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_is_named(cli: Callable[..., Answer], small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(1_900_000))
    answer = cli(*INGEST, "--db", small_disk / "c.duckdb")
    assert answer.code == 7, answer.err
    assert "space" in answer.err.lower()
    assert "Traceback" not in answer.err


def test_a_pipe_whose_reader_goes_away_is_no_fault(known: Path) -> None:
    rows = "select * from range(500000)"
    process = subprocess.Popen(
        [COMMAND, "sql", rows, "--format", "csv", "--db", str(known)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"range\n"
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), said) == (0, b"")
