"""The training script of the demo writes checkpoints that are ingested as a series."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.demo.train import LENGTH, SERIES, train_series
from catalog.ingest.request import IngestRequest
from catalog.ingest.series import StepChoice, planned
from catalog.store.handle import Handle


@pytest.mark.slow
def test_a_short_training_leaves_steps(tmp_path: Path) -> None:
    documents = [
        {"id": f"d{at}", "text": f"Value {at} is returned by the method, or None. " * 20}
        for at in range(300)  # some of them are held out
    ]
    corpus = tmp_path / "corpus.jsonl.gz"
    with gzip.open(corpus, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(document) + "\n" for document in documents)
    recipe = replace(SERIES, steps=30, warmup=5)
    said: list[str] = []
    train_series(recipe, corpus, tmp_path / "run", said.append)
    assert [line.partition(":")[0] for line in said] == ["step 0", "step 30"]
    request = IngestRequest(Handle(tmp_path / "c.duckdb"), str(tmp_path / "run"))
    steps = planned([request], StepChoice())
    places = [each.place for each in steps]
    assert [place and (place.alias, place.train_tokens) for place in places] == [
        ("run@0", 0),
        ("run@30", 30 * LENGTH),
    ]
    prints = {open_checkpoint(each.source).fingerprint for each in steps}
    assert len(prints) == 2
