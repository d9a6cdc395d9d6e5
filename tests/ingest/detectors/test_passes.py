"""Detectors against a plain loop over a model in float64."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy import ndarray
from torch import Tensor, nn

from catalog.errors import EnvironmentFault, MismatchError
from catalog.ingest.activations.contexts import CountingRule
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.detectors.passes import (
    BucketJob,
    OpenBucketPass,
    OpenTokenPass,
    TokenJob,
)
from catalog.ingest.detectors.state import N_BUCKETS, BucketState, DetectorPlan, TokenState
from catalog.ingest.neuron_vectors import NeuronVectors
from tests import tiny_checkpoints
from tests.ingest.ablation.orders import D_MLP, RULE, ShortOfMemory
from tests.ingest.ablation.plain import Plain
from tests.ingest.activations.tiny import ListContexts
from tests.tiny_checkpoints import D_VOCAB, N_LAYERS

Counts = dict[tuple[int, int], Counter[int]]


def contexts() -> ListContexts:
    """Start token 0, the special token 5 now and then, and few tokens that make most of a text."""
    rng = np.random.default_rng(0)
    common = np.array([7, 11, 250], np.int64)

    def drawn(m: int) -> ndarray:
        ids = np.where(rng.random(m) < 0.9, rng.choice(common, m), rng.integers(1, D_VOCAB, m))
        return np.where(rng.random(m) < 0.1, 5, ids)

    return ListContexts([[0, *drawn(m)] for m in rng.integers(20, 60, 30)])


READER = contexts()


def first_job(folder: Path, rule: CountingRule = RULE) -> BucketJob:
    return BucketJob(
        weights=NeuronVectors(open_checkpoint(str(folder)), "folded"),
        device=torch.device("cpu"),
        dtype="float32",
        corpus="in memory",
        lengths=READER.lengths,
        rule=rule,
        tokens_per_batch=256,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoints.build("llama", tmp_path_factory.mktemp("tiny") / "model")


def read_first(work: OpenBucketPass, units: range | list[int]) -> BucketState:
    state = work.job.empty_state()
    for _ in work.read(state, units):
        pass
    return state


def read_second(work: OpenTokenPass, units: range | list[int]) -> TokenState:
    state = work.job.empty_state()
    for _ in work.read(state, units):
        pass
    return state


@pytest.fixture(scope="module")
def first(folder: Path) -> OpenBucketPass:
    return first_job(folder).open(READER)


@pytest.fixture(scope="module")
def buckets(first: OpenBucketPass) -> BucketState:
    return read_first(first, range(len(first.job.units)))


@pytest.fixture(scope="module")
def second(first: OpenBucketPass, buckets: BucketState) -> OpenTokenPass:
    return TokenJob.after(first.job, buckets).open(READER)


@pytest.fixture(scope="module")
def tokens(second: OpenTokenPass) -> TokenState:
    return read_second(second, range(len(second.job.units)))


@pytest.fixture(scope="module")
def by_loop(folder: Path) -> Counts:
    """Firings by neuron and input token, one context at a time in float64."""
    model = Plain.load(folder).model.double()
    counts: Counts = {(layer, n): Counter() for layer in range(N_LAYERS) for n in range(D_MLP)}
    for ids in READER.contexts:
        gates: list[Tensor] = []

        def keep(_: nn.Module, __: object, gate: Tensor, seen: list[Tensor] = gates) -> None:
            seen.append(gate[0])

        handles = [each.mlp.gate_proj.register_forward_hook(keep) for each in model.model.layers]
        with torch.inference_mode():
            model(torch.from_numpy(ids.astype(np.int64))[None])
        for handle in handles:
            handle.remove()
        for position in np.flatnonzero(RULE.counted(ids)):
            for layer, gate in enumerate(gates):
                for neuron in np.flatnonzero(gate[position].numpy() > 0):
                    counts[layer, int(neuron)][int(ids[position])] += 1
    return counts


def cover(counts: Counter[int]) -> list[tuple[int, int]] | None:
    """The definition: the fewest tokens that make 95%, if at most 5 and fired 20 times."""
    n_fired, covered, chosen = sum(counts.values()), 0, []
    for token, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if covered * 100 >= 95 * n_fired:
            break
        covered += n
        chosen.append((token, n))
    return chosen if n_fired >= 20 and len(chosen) <= 5 else None


def rows(job: TokenJob, state: TokenState) -> Iterator[tuple[tuple[int, int], dict[str, object]]]:
    for layer in range(N_LAYERS):
        for row in job.tables(state, layer)["detector"].to_pylist():
            yield (row["layer"], row["neuron"]), row


def test_rows_are_those_of_the_loop(
    second: OpenTokenPass, tokens: TokenState, by_loop: Counts
) -> None:
    found = dict(rows(second.job, tokens))
    assert found.keys() == by_loop.keys()
    n_detectors = 0
    for neuron, counts in by_loop.items():
        row, expected = found[neuron], cover(counts)
        assert row["n_fired"] == sum(counts.values())
        n_detectors += expected is not None
        columns = row["token_ids"], row["n_fired_on"]
        if expected is None:
            assert columns == (None, None), neuron
        else:
            assert columns == tuple(map(list, zip(*expected, strict=True))), neuron
    assert 0 < n_detectors < len(by_loop)


def test_no_detector_is_missed_and_few_others_are_counted(
    buckets: BucketState, by_loop: Counts
) -> None:
    for neuron, counts in by_loop.items():
        assert cover(counts) is None or buckets.candidates[neuron], neuron
    assert not buckets.candidates.all()


@pytest.mark.parametrize("seed", range(20))
def test_buckets_never_rule_out_a_detector(seed: int) -> None:
    """Whatever tokens a neuron fires on; five tokens may share a bucket, or have one each."""
    rng = np.random.default_rng(seed)
    plan = DetectorPlan("m", "c", 1, 200, 256, "float32", "cpu")
    state = BucketState.empty(plan)
    exact: list[Counter[int]] = []
    for neuron in range(200):
        chosen = rng.integers(0, 50_000, rng.integers(1, 9))
        if rng.random() < 0.3:
            chosen = chosen[0] + N_BUCKETS * np.arange(len(chosen))
        counts = Counter(
            {int(t): int(n) for t, n in zip(chosen, rng.geometric(0.02, len(chosen)), strict=True)}
        )
        for token in rng.integers(0, 50_000, rng.integers(0, 12)):
            counts[int(token)] += 1
        exact.append(counts)
        for token, n in counts.items():
            state.counts[0, token % N_BUCKETS, neuron] += n
    assert [n for n, each in enumerate(exact) if cover(each) and not state.candidates[0, n]] == []


def test_shares_merge_exactly_in_any_order(
    first: OpenBucketPass,
    buckets: BucketState,
    second: OpenTokenPass,
    tokens: TokenState,
    tmp_path: Path,
) -> None:
    bucket_sum, token_sum = first.job.empty_state(), second.job.empty_state()
    for unit in reversed(range(len(first.job.units))):
        read_first(first, [unit]).save(tmp_path / "buckets.npz")
        bucket_sum.merge(BucketState.load(tmp_path / "buckets.npz"))
        read_second(second, [unit]).save(tmp_path / "tokens.npz")
        token_sum.merge(TokenState.load(tmp_path / "tokens.npz"))
    assert (bucket_sum.counts == buckets.counts).all()
    assert (token_sum.keys == tokens.keys).all() and (token_sum.counts == tokens.counts).all()
    assert bucket_sum.units == token_sum.units == buckets.units == tokens.units
    with pytest.raises(MismatchError, match="both hold unit 0"):
        token_sum.merge(read_second(second, [0]))
    with pytest.raises(MismatchError, match="another pass"):
        token_sum.merge(TokenState.empty(replace(tokens.plan, candidates="others")))


def test_a_batch_that_does_not_fit_is_halved(
    first: OpenBucketPass, buckets: BucketState, second: OpenTokenPass, tokens: TokenState
) -> None:
    every = range(len(first.job.units))
    halved = read_first(replace(first, model=ShortOfMemory(first.model, 2)), every)
    assert halved.halved and (halved.counts == buckets.counts).all()
    cut = read_second(replace(second, model=ShortOfMemory(second.model, 2)), every)
    assert cut.halved and (cut.keys == tokens.keys).all() and (cut.counts == tokens.counts).all()


def test_a_damaged_state_is_refused(tokens: TokenState, tmp_path: Path) -> None:
    tokens.save(tmp_path / "tokens.npz")
    (tmp_path / "tokens.npz").write_bytes((tmp_path / "tokens.npz").read_bytes()[:300])
    with pytest.raises(EnvironmentFault, match="Delete it to start again"):
        TokenState.load(tmp_path / "tokens.npz")
