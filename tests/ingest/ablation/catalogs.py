"""A catalog of a tiny model with activations on a text, and orders to ablate in it."""

import random
from pathlib import Path
from typing import Any

from catalog.ingest.ablation.request import AblateRequest
from catalog.ingest.ablation.subsets import SubsetSpec
from catalog.ingest.corpus import CorpusSpec
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle
from tests import tiny_checkpoints

WORDS = ("class", "name", "returns", "mapping", "key", "value", "日本", "method", "None", "for")
SOME = SubsetSpec(where="layer in (0, 2) and neuron < 5")
FEW = SubsetSpec(neurons=("1.3", "1.7"))


def make(folder: Path, alias: str = "tiny", seed: int = 0) -> None:
    """`c.duckdb` with the entry and its activations on `words`."""
    model = tiny_checkpoints.build("llama", folder / alias, seed=seed)
    tiny_checkpoints.save_tokenizer(model)
    corpus = folder / "words.txt"
    # Contexts of 32 tokens: 40 of them and more.
    corpus.write_text(" ".join(random.Random(0).choices(WORDS, k=800)), encoding="utf-8")
    ingest(
        IngestRequest(
            catalog=Handle(folder / "c.duckdb"),
            source=str(model),
            alias=alias,
            stages=("weights", "activations"),
            corpus=CorpusSpec(str(corpus), context_length=32),
            exemplars=2,
            device="cpu",
        ),
        Silent(),
    )


def request(db: Path, *subsets: SubsetSpec, **changed: Any) -> AblateRequest:
    given: dict[str, Any] = {
        "catalog": Handle(db),
        "model": "tiny",
        "subsets": subsets or (SOME,),
        "n_draws": 2,
        "device": "cpu",
        "k": 3,
        "checkpoint_every_s": 0.0,
    }
    return AblateRequest(**(given | changed))
