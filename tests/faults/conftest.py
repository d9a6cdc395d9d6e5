"""Ingests that the faults are injected into."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests import handmade
from tests.faults.runs import Ingest
from tests.support import Row, public_rows


@pytest.fixture(scope="session")
def checkpoint(once: Callable[..., Path]) -> Path:
    """A small Llama checkpoint with a tokenizer."""
    return once("faults-checkpoint", lambda folder: handmade.save(folder))


def write_corpus(folder: Path) -> None:
    lines = [f'{{"text": "w{at} w{at + 1} w3"}}\n' for at in range(1, 40)]
    (folder / "corpus.jsonl").write_text("".join(lines))


@pytest.fixture
def weights(checkpoint: Path, tmp_path: Path) -> Ingest:
    """An ingest of the weights alone, into a catalog of its own."""
    folder = tmp_path / "weights"
    folder.mkdir()
    return Ingest(folder / "c.duckdb", checkpoint, ("--stages", "weights"))


@pytest.fixture
def activations(checkpoint: Path, once: Callable[..., Path], tmp_path: Path) -> Ingest:
    """An ingest of activations on a small corpus, into a catalog of its own."""
    folder = tmp_path / "activations"
    folder.mkdir()
    corpus = once("faults-corpus", write_corpus) / "corpus.jsonl"
    options = ("--stages", "activations", "--corpus", str(corpus), "--context-length", "8")
    return Ingest(folder / "c.duckdb", checkpoint, (*options, "--exemplars", "2"))


@pytest.fixture
def undisturbed(once: Callable[..., Path]) -> Callable[[Ingest], dict[str, list[Row]]]:
    """The rows that an ingest has when nothing disturbs it."""

    def rows(ingest: Ingest) -> dict[str, list[Row]]:
        def make(folder: Path) -> None:
            assert replace(ingest, db=folder / "c.duckdb").answer().code == 0

        kind = ingest.options[1]
        return public_rows(once(f"faults-{kind}", make) / "c.duckdb")

    return rows
