"""Damage and kills at random moments; the scripts beside this try more of them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks import inputs
from tests.support import REPOSITORY, environment

pytestmark = pytest.mark.attack


@pytest.fixture(scope="module")
def files(once: Callable[..., Path]) -> Path:
    """The inputs of all commands that write."""
    return once("attacked", inputs.make)


def attempted(*words: object) -> str:
    """What a script of this folder says, which must be that nothing was lost.

    It has a process of its own, for it forks.
    """
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=REPOSITORY,
        env=environment(PYTHONPATH=str(REPOSITORY), OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_bits_and_edits_do_not_go_unnoticed(files: Path) -> None:
    words = ("tests.attacks.damage", files / "both.duckdb", "--flips", 20, "--edits", 34)
    said = attempted(*words, "--seed", 1)
    assert "flip: noticed" in said
    assert "edit: noticed" in said


def test_kills_lose_nothing(files: Path) -> None:
    said = attempted("tests.attacks.kills", files, "--kills", 20, "--seed", 1)
    assert sum(int(line.split()[0]) for line in said.splitlines()) == 20


def test_a_line_of_100_megabytes(files: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "long.jsonl"
    with corpus.open("w") as file:
        file.write('{"text": "name a class", "more": "')
        for _ in range(100):
            file.write("x" * 10**6)
        file.write('"}\n{"text": "')
        for _ in range(100):
            file.write("name a class " * (10**6 // 13))
        file.write('"}\n')
    words = inputs.ingest_words(files, "long", tmp_path / "c.duckdb")
    words[words.index("--corpus") + 1] = str(corpus)
    words[words.index("--stages") + 1] = "activations"
    done = subprocess.run(
        [sys.executable, "-m", "catalog", *words, "--max-tokens", "2000"],
        cwd=REPOSITORY,
        env=environment(PYTHONPATH=str(REPOSITORY)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    corpus.unlink()
