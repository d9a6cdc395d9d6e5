"""A tiny model with activations, whose checkpoint is beside its catalog."""

from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.cli.main import run
from tests.tiny_checkpoints import build, save_tokenizer


@pytest.fixture(scope="session")
def measured(once: Callable[..., Path]) -> Path:
    """A folder with a checkpoint, `model`, and the catalog made of its raw weights."""

    def make(folder: Path) -> None:
        save_tokenizer(build("llama", folder / "model"))
        texts = folder / "texts.txt"
        texts.write_text("\n\n".join(f"the {n} sentence of several, with words" for n in range(40)))
        run(
            [
                *("ingest", str(folder / "model"), "--db", str(folder / "c.duckdb")),
                *("--weights", "raw", "--alias", "tiny", "--corpus", str(texts)),
                *("--corpus-name", "web", "--context-length", "16", "--exemplars", "4"),
            ]
        )

    return once("measured", make)
