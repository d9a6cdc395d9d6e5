"""The training script of the demo: its optimizer, and checkpoints that are ingested as a series."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.demo.optimizing import AdamByNeuron
from catalog.ingest.demo.recipe import LENGTH, SERIES
from catalog.ingest.demo.train import train_series
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


@pytest.mark.parametrize("transposed", [False, True], ids=["reads", "writes"])
def test_a_neuron_moves_along_its_gradient(transposed: bool) -> None:
    """By the learning rate on the average over its coordinates, after what decays."""
    n_neurons, d_model, lr, weight_decay = 12, 8, 1e-2, 0.5
    random = torch.Generator().manual_seed(0)
    vectors, gradient = torch.randn(2, n_neurons, d_model, generator=random)
    gradient *= torch.logspace(-3, 3, n_neurons)[:, None]
    matrix = torch.nn.Parameter(vectors.T.contiguous() if transposed else vectors.clone())
    matrix.grad = gradient.T if transposed else gradient
    AdamByNeuron([matrix], d_model, lr, weight_decay).step()
    moved = (matrix.T if transposed else matrix).detach() - vectors * (1 - lr * weight_decay)
    size = gradient.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(moved, -lr * gradient / size, rtol=1e-3, atol=1e-6)
