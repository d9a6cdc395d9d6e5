"""Small inputs of all commands that write: a checkpoint, a corpus, and catalogs made of these."""

import gzip
import json
from pathlib import Path

from catalog.cli.main import run
from catalog.stages import STAGES
from tests import tiny_checkpoints
from tests.support import REPOSITORY

OLD = REPOSITORY / "tests" / "store" / "catalog_0003.duckdb.gz"
SAID = "said.jsonl"
TEXTS = ("The class statement binds a name", "An iterator raises StopIteration", "for key in map")


def ingest_words(folder: Path, alias: str, db: Path) -> list[str]:
    """The command that takes the checkpoint through all stages."""
    words = ["ingest", str(folder / "model"), "--alias", alias, "--db", str(db), "--yes"]
    stages = ",".join(stage.name for stage in STAGES)
    words += ["--stages", stages, "--corpus", str(folder / "texts.txt")]
    return [*words, "--context-length", "16", "--top-tokens", "4", "--exemplars", "2"]


def make_checkpoint(folder: Path) -> None:
    """The checkpoint, whose tokenizer has a start token (else no attention is scored), a corpus,
    and a table of descriptions."""
    tiny_checkpoints.build("llama", folder / "model")
    tiny_checkpoints.save_tokenizer(folder / "model")
    (folder / "texts.txt").write_text("\n".join(TEXTS))
    said = [{"layer": at % 3, "neuron": at, "description": f"says {at}"} for at in range(40)]
    (folder / SAID).write_text("".join(json.dumps(each) + "\n" for each in said))


def make(folder: Path) -> None:
    """Beside these: the catalogs `a` and `b` of an entry each, with rows in every table, `both`,
    and one of an old schema."""
    make_checkpoint(folder)
    for alias in "ab":
        db = ["--db", str(folder / f"{alias}.duckdb")]
        assert run(ingest_words(folder, alias, folder / f"{alias}.duckdb")) == 0
        assert run(["ablate", alias, "--neurons", "0.0,2.1", "--yes", *db]) == 0
        assert run(["describe", "0.0", "said by hand", *db]) == 0
    sources = [str(folder / f"{alias}.duckdb") for alias in "ab"]
    assert run(["merge", *sources, "--into", str(folder / "both.duckdb")]) == 0
    (folder / "old.duckdb").write_bytes(gzip.decompress(OLD.read_bytes()))


if __name__ == "__main__":
    import sys

    make(Path(sys.argv[1]))
