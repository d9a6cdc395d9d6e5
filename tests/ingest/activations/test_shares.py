"""Shares of a pass, as workers compute them: floors of what is merged, models in pieces."""

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import CheckpointError, CorpusError
from catalog.ingest.activations.model import gpus_needed, load_model, weight_bytes
from catalog.ingest.activations.state import ActivationState
from catalog.ingest.checkpoint import open_checkpoint
from tests import tiny_checkpoints
from tests.ingest.activations.tiny import (
    empty_state,
    make_pass,
    random_contexts,
    run_units,
    tiny_model,
)

WORK = make_pass(tiny_model(), random_contexts(60))


@pytest.fixture(scope="module")
def undisturbed() -> ActivationState:
    state = empty_state(WORK)
    run_units(WORK, state)
    return state


@given(st.randoms(use_true_random=False), st.integers(1, 6))
@settings(deadline=None, max_examples=15)
def test_floors_of_what_is_merged_change_nothing(
    undisturbed: ActivationState, shuffled: random.Random, n: int
) -> None:
    units = list(range(len(WORK.units)))
    shuffled.shuffle(units)
    merged = empty_state(WORK)
    for first in range(0, len(units), n):
        share = empty_state(WORK)
        run_units(WORK, share, only=units[first : first + n], least=merged.key[..., -1].clone())
        merged.merge(share)
    assert merged.units == undisturbed.units
    for name, tensor in undisturbed.tensors.items():
        assert torch.equal(merged.tensors[name], tensor), name


def test_floors_keep_the_weak_out() -> None:
    strong, weak = empty_state(WORK), empty_state(WORK)
    run_units(WORK, strong, only=range(4))
    run_units(WORK, weak, only=[5], least=torch.full_like(strong.key[..., -1], 2**63 - 1))
    assert bool((weak.key == -1).all())
    assert int(weak.count.sum()) > 0


def test_sums_that_would_overflow_are_refused(undisturbed: ActivationState, tmp_path: Path) -> None:
    full = undisturbed.to(torch.device("cpu"))
    full.total = full.total.clone()
    full.total[0, 1, 2, 3] = -(2**62) - 1
    with pytest.raises(CorpusError, match="no longer fit into 64 bits"):
        full.save(tmp_path / "state")
    assert not list(tmp_path.iterdir())


def test_a_model_in_pieces_computes_the_same(tmp_path: Path) -> None:
    """Layers that accelerate keeps on disk, as it does with what no GPU has room for."""
    model = open_checkpoint(str(tiny_checkpoints.build("gemma2", tmp_path / "model")))
    cpu = torch.device("cpu")
    whole = load_model(model, torch.float32, cpu).model
    places: dict[str, str | int] = {
        "embed_tokens": "cpu",
        "layers.0": "cpu",
        "rotary_emb": "cpu",
        "norm": "cpu",
    }
    on_disk: dict[str, str | int] = {"layers.1": "disk", "layers.2": "disk"}
    folder = tmp_path / "offloaded"
    pieces = load_model(model, torch.float32, cpu, places | on_disk, folder).model
    assert any(parameter.is_meta for parameter in pieces.parameters())
    states = []
    for each in (whole, pieces):
        work = make_pass(each, random_contexts(20))
        states.append(empty_state(work))
        run_units(work, states[-1])
    for name, tensor in states[0].tensors.items():
        assert torch.equal(states[1].tensors[name], tensor), name


def test_the_size_of_a_model_that_cannot_be_made(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tiny_checkpoints.build("llama", tmp_path)))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_attention_heads": 0}))
    with pytest.raises(CheckpointError, match="or cannot run it"):
        weight_bytes(checkpoint, torch.bfloat16)


def test_how_many_gpus_a_model_needs(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tiny_checkpoints.build("llama", tmp_path)))
    model = load_model(checkpoint, torch.bfloat16, torch.device("cpu")).model
    n_bytes = sum(2 * parameter.numel() for parameter in model.parameters())
    assert weight_bytes(checkpoint, torch.bfloat16) == n_bytes
    assert [gpus_needed(n, 80 * 10**9) for n in (1, 56 * 10**9, 57 * 10**9, 140 * 10**9)] == [
        1,
        1,
        2,
        3,
    ]
