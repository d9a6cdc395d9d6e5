"""States merge exactly, survive a file, and keep what they say they keep."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import EnvironmentFault, MismatchError
from catalog.ingest.ablation.effects import N_BINS, EffectState, bins, middle, quantiles
from catalog.ingest.ablation.passes import OpenAblationPass
from tests import tiny_checkpoints
from tests.ingest.ablation.orders import SUBSETS, ShortOfMemory, ablation, contexts, make_job, taken

READER = contexts(24)
_ARRAYS = ("histogram", "extreme", "nonfinite", "top", "places")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> OpenAblationPass:
    folder = tiny_checkpoints.build("llama", tmp_path_factory.mktemp("tiny") / "model")
    asked = [ablation(subset) for subset in SUBSETS[:2]]
    return make_job(folder, READER, asked, baselines=("layer", "frequency")).open(READER)


@pytest.fixture(scope="module")
def undisturbed(work: OpenAblationPass) -> EffectState:
    return taken(work)


def same(one: EffectState, other: EffectState) -> bool:
    return (
        one.moments.keys() == other.moments.keys()
        and all((one.moments[each] == other.moments[each]).all() for each in one.moments)
        and all((getattr(one, name) == getattr(other, name)).all() for name in _ARRAYS)
        and (one.units, one.n_positions) == (other.units, other.n_positions)
    )


@given(st.randoms(use_true_random=False), st.integers(1, 4))
@settings(deadline=None, max_examples=10)
def test_shares_merge_exactly_in_any_order(
    work: OpenAblationPass, undisturbed: EffectState, shuffled: random.Random, n: int
) -> None:
    units = list(range(len(work.job.units)))
    shuffled.shuffle(units)
    merged = EffectState.empty(work.job.plan)
    for first in range(0, len(units), n):
        merged.merge(taken(work, units[first : first + n]))
    assert same(merged, undisturbed)


def test_a_unit_is_taken_once(work: OpenAblationPass) -> None:
    state = taken(work, [0])
    with pytest.raises(MismatchError, match="both hold unit 0"):
        state.merge(taken(work, [0, 1]))


def test_a_saved_state_is_read_back(undisturbed: EffectState, tmp_path: Path) -> None:
    undisturbed.save(tmp_path / "state.npz")
    again = EffectState.load(tmp_path / "state.npz")
    assert again.plan == undisturbed.plan
    assert same(again, undisturbed)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_state_is_refused(undisturbed: EffectState, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.npz"
    undisturbed.save(path)
    whole = bytearray(path.read_bytes())
    if damage == "flipped":
        whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes({"cut": whole[:1000], "flipped": whole, "empty": b""}[damage]))
    with pytest.raises(EnvironmentFault, match="Delete it to start again"):
        EffectState.load(path)


def test_a_batch_that_does_not_fit_is_halved(
    work: OpenAblationPass, undisturbed: EffectState
) -> None:
    halved = taken(replace(work, model=ShortOfMemory(work.model, 2)))
    assert halved.halved
    assert halved.n_positions == undisturbed.n_positions
    for context, moments in undisturbed.moments.items():
        assert halved.moments[context] == pytest.approx(moments, abs=1e-3)
    with pytest.raises(EnvironmentFault, match="does not fit in memory"):
        taken(replace(work, model=ShortOfMemory(work.model, 0)))


def test_effects_that_are_not_finite_are_counted_and_left_out(work: OpenAblationPass) -> None:
    state = EffectState.empty(work.job.plan)
    effects = np.array([[0.5, np.nan, 2.0, np.nan], *[[1.0, np.inf, 3.0, 0.0]] * 3])
    contexts, positions = np.array([0, 0, 1, 1]), np.array([1, 2, 1, 2])
    has_next = np.array([True, True, True, False])
    state.add(0, effects, contexts, positions, has_next, 0)
    assert state.nonfinite[0].tolist() == [1, 1, 1, 1]
    assert state.moments[0][0, 0].tolist() == [1, 0.5, 0.25]
    assert state.moments[1][0, 0].tolist() == [1, 2, 4]
    assert state.moments[1][0, 1].tolist() == [2, 3, 9]
    assert state.moments[1][0, 2].tolist() == [1, 3, 9]  # rank: no next token at the last
    assert state.top[0, 0].tolist() == [[2.0, 0.5, 0, 0], [0, 0, 0, 0]]
    assert state.places[0, 0, 0, :2].tolist() == [[1, 1], [0, 1]]


def test_ties_go_to_the_lower_context_then_position(work: OpenAblationPass) -> None:
    state = EffectState.empty(work.job.plan)
    for context in (2, 0, 1):
        effects = np.full((4, 3), -1.0)
        places = np.full(3, context), np.array([3, 1, 2])
        state.add(0, effects, *places, np.ones(3, bool), 0)
    assert state.places[0, 0, 1].tolist() == [[0, 1], [0, 2], [0, 3], [1, 1]]


@given(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-15))
def test_a_bin_is_a_64th_of_an_octave(x: float) -> None:
    (number,) = bins(np.array([x]))
    back = float(middle(np.array([number]))[0])
    assert back == 0 if x == 0 else abs(back / x - 1) <= 2 ** (1 / 128) - 1 + 1e-12


@given(st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=1, max_size=60))
def test_quartiles_are_right_to_half_a_bin(values: list[float]) -> None:
    array = np.array(values)
    histogram = np.bincount(bins(array), minlength=2 * N_BINS + 1)
    found = quantiles(histogram, np.array([array.min(), array.max()]), (0.25, 0.5, 0.75))
    wanted = np.quantile(array, (0.25, 0.5, 0.75), method="lower")
    assert found == pytest.approx(wanted.tolist(), rel=0.006)
