"""Attribution against a plain loop, and against true ablations of single neurons."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from catalog.errors import EnvironmentFault, MismatchError
from catalog.ingest.attribution.passes import AttributionJob, OpenAttributionPass
from catalog.ingest.attribution.state import SUM_STEP, AttributionState
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.neuron_vectors import NeuronVectors
from tests import tiny_checkpoints
from tests.ingest.ablation.orders import (
    D_MLP,
    RULE,
    ShortOfMemory,
    ablation,
    contexts,
    make_job,
    taken,
)
from tests.ingest.ablation.plain import Plain
from tests.tiny_checkpoints import N_LAYERS

READER = contexts(16)


def job(folder: Path) -> AttributionJob:
    return AttributionJob(
        weights=NeuronVectors(open_checkpoint(str(folder)), "folded"),
        device=torch.device("cpu"),
        dtype="float32",
        corpus="in memory",
        lengths=READER.lengths,
        rule=RULE,
        tokens_per_batch=128,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoints.build("llama", tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def work(folder: Path) -> OpenAttributionPass:
    return job(folder).open(READER)


def read(work: OpenAttributionPass, units: Any = None) -> AttributionState:
    state = work.job.empty_state()
    for _ in work.read(state, range(len(work.job.units)) if units is None else units):
        pass
    return state


@pytest.fixture(scope="module")
def state(work: OpenAttributionPass) -> AttributionState:
    assert len(work.job.units) > 2
    return read(work)


def test_values_are_those_of_the_loop(folder: Path, state: AttributionState) -> None:
    expected = Plain(Plain.load(folder).model.double()).attributions(READER.contexts, RULE)
    for layer in range(N_LAYERS):
        rows = state.table(layer, D_MLP)
        for at, name in enumerate(("effect", "magnitude")):
            assert rows[name].to_numpy() == pytest.approx(expected[at, layer], rel=1e-3, abs=1e-6)
        assert rows["neuron"].to_pylist() == list(range(D_MLP))


@pytest.mark.parametrize("family", ["qwen2_moe", "qwen3_moe", "mixtral"])
def test_values_of_experts_are_those_of_the_loop(family: str, tmp_path: Path) -> None:
    """0 where an expert is not asked; the gradient also goes through later layers' routers."""
    folder = tiny_checkpoints.build(family, tmp_path / "model")
    asked = job(folder)
    state = read(asked.open(READER))
    model = Plain.load(folder).model.double()
    model.set_experts_implementation("eager")  # the grouped one knows no float64
    expected = Plain(model).attributions(READER.contexts, RULE)
    for layer in range(N_LAYERS):
        rows = asked.tables(state, layer)["attribution"]
        n = asked.weights.sizes.of_layer(layer)
        assert rows["neuron"].to_pylist() == list(range(n))
        for at, name in enumerate(("effect", "magnitude")):
            wanted = expected[at, layer, :n]
            assert rows[name].to_numpy() == pytest.approx(wanted, rel=1e-3, abs=1e-6)


def test_it_ranks_neurons_like_their_true_ablations(folder: Path, state: AttributionState) -> None:
    """A model of random weights is far from linear, so they agree in rank, and not in value."""
    chosen = [(layer, neuron) for layer in range(N_LAYERS) for neuron in range(D_MLP)]
    asked = [ablation({layer: np.array([neuron], np.int32)}) for layer, neuron in chosen]
    ablated = taken(make_job(folder, READER, asked, tokens_per_batch=1024).open(READER))
    sums = sum(ablated.moments.values())  # [arm, metric, 3]
    assert isinstance(sums, np.ndarray)
    true = sums[:, 0, 1] / sums[:, 0, 0]
    estimate = state.effect.ravel() * SUM_STEP / state.n_scored
    assert spearmanr(true, estimate).statistic > 0.7


def test_shares_merge_exactly_in_any_order(
    work: OpenAttributionPass, state: AttributionState, tmp_path: Path
) -> None:
    merged = work.job.empty_state()
    for unit in reversed(range(len(work.job.units))):
        share = read(work, [unit])
        share.save(tmp_path / "share.npz")
        merged.merge(AttributionState.load(tmp_path / "share.npz"))
    for name in ("effect", "magnitude", "nonfinite"):
        assert (getattr(merged, name) == getattr(state, name)).all(), name
    assert (merged.n_scored, merged.units) == (state.n_scored, state.units)
    with pytest.raises(MismatchError, match="both hold unit 0"):
        merged.merge(read(work, [0]))


def test_a_damaged_state_is_refused(state: AttributionState, tmp_path: Path) -> None:
    state.save(tmp_path / "state.npz")
    (tmp_path / "state.npz").write_bytes((tmp_path / "state.npz").read_bytes()[:500])
    with pytest.raises(EnvironmentFault, match="Delete it to start again"):
        AttributionState.load(tmp_path / "state.npz")


@pytest.mark.parametrize("backward", [False, True])
def test_a_batch_that_does_not_fit_is_halved(
    work: OpenAttributionPass, state: AttributionState, backward: bool
) -> None:
    halved = read(replace(work, model=ShortOfMemory(work.model, 1, backward=backward)))
    assert halved.halved
    assert halved.n_scored == state.n_scored
    assert halved.effect * SUM_STEP == pytest.approx(state.effect * SUM_STEP, rel=1e-3, abs=1e-3)
    with pytest.raises(EnvironmentFault, match="does not fit in memory"):
        read(replace(work, model=ShortOfMemory(work.model, 0, backward=backward)))


def test_a_gradient_that_is_not_finite_gives_null(work: OpenAttributionPass) -> None:
    state = work.job.empty_state()
    state.n_scored = 2
    state.add(1, np.array([[1.0, np.nan, 3.0]] * 2).repeat(16, 1), np.ones((2, 48)))
    rows = state.table(1, D_MLP)
    assert rows["effect"].to_pylist() == [1.0] * 16 + [None] * 16 + [3.0] * 16
    assert rows["magnitude"].null_count == 16
