"""Effects against a plain loop written apart, position by position."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy import ndarray

from catalog.ingest.ablation.arms import Ablation
from catalog.ingest.ablation.effects import EffectState
from catalog.ingest.ablation.readout import scored_positions
from tests import tiny_checkpoints
from tests.ingest.ablation.orders import D_MLP, RULE, SUBSETS, ablation, contexts, make_job
from tests.ingest.ablation.plain import Plain, n_neurons
from tests.tiny_checkpoints import N_LAYERS

READER = contexts(16)
MEANS = {
    layer: np.random.default_rng(layer).normal(size=D_MLP).astype(np.float32)
    for layer in range(N_LAYERS)
}
FLIPPED = {layer: np.random.default_rng(layer).random(D_MLP) < 0.5 for layer in range(N_LAYERS)}
CASES: list[dict[str, Any]] = [
    {},
    {"kind": "mean"},
    {"gate_sign": "+"},
    {"gate_sign": "-"},
    {"post_sign": "+"},
    {"post_sign": "-", "kind": "mean"},
    {"gate_sign": "-", "post_sign": "+"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoints.build("llama", tmp_path_factory.mktemp("tiny") / "model")


OF_EXPERTS: list[dict[str, Any]] = [{"kind": "mean"}, {"gate_sign": "-", "post_sign": "+"}]


@pytest.mark.parametrize("family", ["qwen2_moe", "qwen3_moe", "mixtral"])
@pytest.mark.parametrize("case", OF_EXPERTS, ids=str)
def test_effects_of_experts_are_those_of_the_loop(
    family: str, case: dict[str, Any], tmp_path: Path
) -> None:
    """Of routed experts, of a wider shared one, and of dense layers; where an expert is not asked
    its neurons do nothing, ablated or not."""
    folder = tiny_checkpoints.build(family, tmp_path / "model")
    plain = Plain.load(folder)
    sizes = [n_neurons(layer.mlp) for layer in plain.model.model.layers]
    rng = np.random.default_rng(5)
    means = {at: rng.normal(size=n).astype(np.float32) for at, n in enumerate(sizes)}
    flipped = {at: rng.random(n) < 0.5 for at, n in enumerate(sizes)}
    everywhere = {at: np.arange(at, n, 3, dtype=np.int32) for at, n in enumerate(sizes)}
    last = {1: np.arange(sizes[1] - 12, sizes[1], dtype=np.int32)}
    asked = [ablation(subset, **case) for subset in (everywhere, last)]
    job = make_job(folder, READER, asked, means=means, flipped=flipped)
    work = job.open(READER)
    expected = [plain.effects(each, READER.contexts, RULE, means, flipped) for each in asked]
    assert all(np.nanmax(np.abs(each[0])) > 1e-4 for each in expected[0])
    for unit in range(len(job.units)):
        found = work.found(work.batch(unit))
        for effects, wanted in zip(found.of_arms, expected, strict=True):
            places = zip(found.scored.contexts, found.scored.positions, strict=True)
            there = np.stack([wanted[context][:, position] for context, position in places], 1)
            assert np.nanmax(np.abs(effects - there)) <= 2e-5


def by_loop(plain: Plain, asked: Ablation) -> list[ndarray]:
    """Effects of every context, [metric, t]."""
    return plain.effects(asked, READER.contexts, RULE, MEANS, FLIPPED)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_effects_are_those_of_the_loop(folder: Path, case: dict[str, Any]) -> None:
    asked = [ablation(subset, **case) for subset in SUBSETS]
    job = make_job(folder, READER, asked, means=MEANS, flipped=FLIPPED)
    assert len(job.units) > 2
    work = job.open(READER)
    plain = Plain.load(folder)
    expected = [by_loop(plain, each) for each in asked]
    assert any(np.nanmax(np.abs(each[0])) > 1e-3 for each in expected[0])
    for unit in range(len(job.units)):
        found = work.found(work.batch(unit))
        for effects, wanted in zip(found.of_arms, expected, strict=True):
            places = zip(found.scored.contexts, found.scored.positions, strict=True)
            there = np.stack([wanted[context][:, position] for context, position in places], 1)
            meant = ~np.isnan(there)
            assert np.abs(effects - there)[meant].max() <= 1e-5
            assert np.isnan(effects[0, ~meant[0]]).all()


def test_every_scored_position_comes_into_the_state(folder: Path) -> None:
    asked = [ablation(subset) for subset in SUBSETS]
    job = make_job(folder, READER, asked)
    state = EffectState.empty(job.plan)
    for _ in job.open(READER).read(state, range(len(job.units))):
        pass
    plain = Plain.load(folder)
    assert state.n_positions == sum(int(RULE.counted(each).sum()) for each in READER.contexts)
    for at, each in enumerate(asked):
        effects = by_loop(plain, each)
        for context, wanted in enumerate(effects):
            n, total, squares = state.moments[context][at].T
            assert n.tolist() == (~np.isnan(wanted)).sum(1).tolist()
            assert total == pytest.approx(np.nansum(wanted, 1), abs=1e-4)
            assert squares == pytest.approx(np.nansum(wanted**2, 1), rel=1e-3, abs=1e-4)
        every = np.concatenate(effects, 1)
        ranked = sorted(every[0][~np.isnan(every[0])], reverse=True)
        assert state.top[at, 0, 0] == pytest.approx(ranked[:4], abs=1e-5)
        assert state.top[at, 0, 1] == pytest.approx(ranked[::-1][:4], abs=1e-5)


IMAGES = {
    "gemma3": "Gemma3ForConditionalGeneration",
    "gemma4": "Gemma4ForConditionalGeneration",
}
"""Classes of models that transformers does not load as causal ones."""


@pytest.mark.parametrize("family", tiny_checkpoints.TINY)
def test_every_family_starts_later_and_emits_its_own_logits(family: str, tmp_path: Path) -> None:
    """A pass from a later layer is the clean pass; logits are those of the whole causal model, its
    caps and scales included."""
    folder = tiny_checkpoints.build(family, tmp_path / family)
    work = make_job(folder, READER, [ablation(SUBSETS[2])]).open(READER)
    batch = work.batch(0)
    scored = scored_positions(batch)
    with torch.inference_mode(), work.inputs.kept_before({1, 2}):
        clean = work.metrics(batch, scored)
    for layer in (1, 2):
        with torch.inference_mode(), work.inputs.started_at(layer):
            assert torch.equal(work.metrics(batch, scored).nan_to_num(-1), clean.nan_to_num(-1))
    with torch.inference_mode():
        output = work.model(input_ids=batch.tokens, use_cache=False).last_hidden_state
        ours = work.head.logits(output[0])
        kind = IMAGES.get(family, "AutoModelForCausalLM")
        whole = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32).eval()
        theirs = whole(input_ids=batch.tokens[:1], use_cache=False).logits[0]
    assert torch.allclose(ours, theirs, atol=1e-5)
