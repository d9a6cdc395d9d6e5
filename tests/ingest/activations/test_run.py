"""The driver: resuming, workers, batches halved for memory, batch size, estimates."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from catalog.errors import CheckpointError, CorpusError, EnvironmentFault
from catalog.ingest.activations.contexts import CountingRule, draw_samples, plan_units
from catalog.ingest.activations.hooks import find_mlps, tap_mlps
from catalog.ingest.activations.job import OpenActivationPass, PassOpening
from catalog.ingest.activations.kernel import choose_kernel
from catalog.ingest.activations.run import ActivationPass, entering, measure
from catalog.ingest.activations.state import ActivationState
from catalog.ingest.activations.tables import exemplar_table, sample_table, stat_table
from catalog.ingest.engines.engine import Share, Worker
from catalog.ingest.engines.local import LocalEngine
from catalog.ingest.families import FAMILIES
from catalog.ingest.passing import take_pass
from catalog.ingest.progress import Silent
from catalog.layers import LayerSizes
from tests.ingest.activations.tiny import (
    RULE,
    ListContexts,
    empty_state,
    make_pass,
    random_contexts,
    run_units,
    tiny_model,
)


@pytest.fixture(scope="module")
def work() -> ActivationPass:
    return make_pass(tiny_model(), random_contexts(40))


@pytest.fixture(scope="module")
def undisturbed(work: ActivationPass) -> list[pa.Table]:
    state = empty_state(work)
    run_units(work, state)
    return all_tables(work, state)


def all_tables(work: ActivationPass, state: ActivationState) -> list[pa.Table]:
    reader = work.reader
    assert isinstance(reader, ListContexts)
    return [
        table
        for layer in range(2)
        for table in (
            stat_table(state, layer),
            exemplar_table(state, layer, reader),
            sample_table(state, layer),
        )
    ]


class Taken:
    """A pass as `take_pass` takes it, on the local engine."""

    name = "tiny"

    def __init__(self, work: ActivationPass) -> None:
        self.work = work
        self.device = work.device
        self.n_units = len(work.units)

    def open(self) -> OpenActivationPass:
        opening = PassOpening(self.work.plan, "as asked for", {"kernel": "plain"})
        return OpenActivationPass(self.work, opening)

    def worker(self) -> Callable[[], Worker]:
        raise AssertionError

    def share(self, units: Sequence[int], state: ActivationState) -> Share:
        raise AssertionError

    def gpus_each(self, gpu_bytes: int) -> int:
        raise AssertionError

    def tables(self, state: ActivationState, layer: int) -> dict[str, pa.Table]:
        raise AssertionError


class KilledAfter(Silent):
    """Interrupts the pass once more than `most` units are through."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.done = 0

    def begin(self, title: str, total: int, done: int = 0) -> None:
        self.at_first = done

    def advance(self, units: int = 1) -> None:
        self.done += units
        if self.done > self.most:
            raise KeyboardInterrupt


def test_killed_and_resumed(
    work: ActivationPass, undisturbed: list[pa.Table], tmp_path: Path
) -> None:
    saved = tmp_path / "state"
    n_units = len(work.units)
    n_held = 0
    for n_before in (1, 3, 2):
        progress = KilledAfter(n_before)
        with pytest.raises(KeyboardInterrupt):
            take_pass(Taken(work), LocalEngine(), saved, 0.0, progress)
        assert progress.at_first == n_held
        n_held = len(ActivationState.load(saved, work.device).units)
        assert n_held == progress.at_first + progress.done
    state, notes = take_pass(Taken(work), LocalEngine(), saved, 0.0, Silent())
    assert state.units == set(range(n_units))
    assert notes == {"kernel": "plain"}
    assert all_tables(work, state) == undisturbed
    assert ActivationState.load(saved, work.device).units == state.units


def test_workers_merge_to_the_same(work: ActivationPass, undisturbed: list[pa.Table]) -> None:
    states = []
    for worker in range(3):
        states.append(empty_state(work))
        run_units(work, states[-1], only=range(worker, len(work.units), 3))
    states[2].merge(states[0])
    states[2].merge(states[1])
    assert all_tables(work, states[2]) == undisturbed


class OutOfMemory:
    """An MLP that cannot take more than `most` contexts from its second layer on."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, _: torch.nn.Module, args: tuple[torch.Tensor]) -> None:
        if len(args[0]) > self.most:
            raise torch.OutOfMemoryError("made up")


def test_a_batch_halved_for_memory(work: ActivationPass, undisturbed: list[pa.Table]) -> None:
    handle = work.model.get_submodule("layers.1.mlp").register_forward_pre_hook(OutOfMemory(2))
    state = empty_state(work)
    try:
        run_units(work, state)
    finally:
        handle.remove()
    large = {u: len(unit.context_ids) for u, unit in enumerate(work.units)}
    assert set(state.halved) == {u for u, n in large.items() if n > 2}
    assert all(parts >= large[u] / 2 for u, parts in state.halved.items())
    for found, wanted in zip(all_tables(work, state), undisturbed, strict=True):
        assert found.num_rows == wanted.num_rows
        for name in {"n_positions", "n_in_case", "context_id", "position"} & set(
            found.column_names
        ):
            assert found[name] == wanted[name]


def test_one_context_too_large(work: ActivationPass) -> None:
    handle = work.model.get_submodule("layers.1.mlp").register_forward_pre_hook(OutOfMemory(0))
    try:
        with pytest.raises(EnvironmentFault, match="One context of 40 tokens"):
            run_units(work, empty_state(work))
    finally:
        handle.remove()


def test_batch_size_does_not_matter(work: ActivationPass, undisturbed: list[pa.Table]) -> None:
    other = make_pass(work.model, work.reader, tokens_per_batch=1)
    assert len(other.units) == len(work.reader.lengths)
    state = empty_state(other)
    run_units(other, state)
    for found, wanted in zip(all_tables(other, state), undisturbed, strict=True):
        for name in {"n_in_case", "context_id", "position"} & set(found.column_names):
            assert found[name] == wanted[name]


def test_everything_counted_when_asked() -> None:
    reader = random_contexts(8)
    work = make_pass(tiny_model(), reader, rule=CountingRule((), skip_first=False))
    state = empty_state(work)
    run_units(work, state)
    assert state.n_positions == reader.lengths.sum()


def test_not_finite_is_named_by_layer_and_context(work: ActivationPass) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.get_input_embeddings().get_parameter("weight")[49] = (
            torch.nan
        )  # as good as a broken row
    reader = ListContexts([[0, 5, 6], [0, 49, 7, 8], [0, 49]])
    broken = make_pass(model, reader)
    state = empty_state(broken)
    run_units(broken, state)
    per_position = broken.plan.d_mlp
    assert state.nonfinite == {
        (layer, context): n * per_position for layer in range(2) for context, n in ((1, 3), (2, 1))
    }


def test_units_depend_on_the_corpus_alone() -> None:
    reader = random_contexts(50)
    units = plan_units(reader.lengths, 100)
    assert sorted(i for unit in units for i in unit.context_ids) == list(range(50))
    for unit in units:
        longest = reader.lengths[unit.context_ids].max()
        assert longest <= unit.padded_length < longest + 8
        assert unit.n_slots <= 100
    with pytest.raises(CorpusError):
        plan_units(reader.lengths[:0], 100)


def test_samples_are_counted_positions_drawn_once() -> None:
    reader = random_contexts(50)
    first, again = (draw_samples(reader, RULE, seed=5, n=60) for _ in range(2))
    places = list(zip(*map(list, first), strict=True))
    assert len(set(places)) == 60
    assert places == sorted(places) == list(zip(*map(list, again), strict=True))
    assert all(RULE.counted(reader.contexts[c])[p] for c, p in places)
    n_counted = sum(RULE.counted(c).sum() for c in reader.contexts)
    assert len(draw_samples(reader, RULE, seed=5, n=10**6).positions) == n_counted


def test_measure(work: ActivationPass) -> None:
    estimate = measure(work)
    assert estimate.seconds > 0
    assert estimate.state_mb == pytest.approx(empty_state(work).mb)


@pytest.mark.parametrize(("n", "k"), [(3, 16), (40, 4)])
def test_as_many_contexts_enter_a_list_as_in_random_orders(n: int, k: int) -> None:
    rng = np.random.default_rng(0)

    def entered(order: np.ndarray) -> int:
        return sum(int((order[:at] > order[at]).sum() < k) for at in range(n))

    mean = np.mean([entered(rng.permutation(n)) for _ in range(2000)])
    assert entering(n, k) == pytest.approx(mean, rel=0.02)


def test_the_estimate_counts_what_lists_take_to_fill(
    work: ActivationPass, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 9.0, 10.0, 13.0, 20.0, 21.0])  # 9 s of warming up, 3 s filling, 1 s full
    monkeypatch.setattr("catalog.ingest.activations.run.time.perf_counter", lambda: next(times))
    estimate = measure(work)
    n_slots = sum(unit.n_slots for unit in work.units)
    assert estimate.seconds > n_slots / estimate.tokens_per_second


def test_the_cpu_reads_in_one_pass_and_small_corpora_on_a_gpu_are_not_compiled() -> None:
    llama, sizes = FAMILIES["llama"].mlp, LayerSizes(2, 24)
    chosen = {
        device: choose_kernel(1000, sizes, llama, torch.float32, torch.device(device))
        for device in ("cpu", "cuda")
    }
    assert chosen["cpu"].name == "fused"
    assert (chosen["cuda"].name, "too small" in chosen["cuda"].reason) == ("plain", True)


def test_a_model_without_gated_mlps() -> None:
    with pytest.raises(CheckpointError, match="no such MLP"):
        find_mlps(torch.nn.Linear(2, 2), FAMILIES["llama"], 1)


def test_no_taps_are_left(work: ActivationPass) -> None:
    with tap_mlps(work.mlps, print):
        pass
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in work.model.modules())


def test_a_state_of_another_pass_is_refused(work: ActivationPass) -> None:
    from catalog.errors import MismatchError

    state = ActivationState.empty(replace(work.plan, corpus="other"), work.device)
    with pytest.raises(MismatchError, match="corpus 'other'"):
        run_units(work, state)
