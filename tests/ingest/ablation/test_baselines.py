"""Baselines by hand, and as the rule says for any subset."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from catalog.ingest.ablation.baselines import draw, tenths
from catalog.ingest.ablation.bootstrap import difference
from catalog.ingest.ablation.subsets import NeuronsByLayer

FREQUENCY = {0: np.arange(20) / 20, 3: np.arange(20)[::-1] / 20}


def subset(**layers: list[int]) -> NeuronsByLayer:
    return {int(name[1:]): np.array(each, np.int32) for name, each in layers.items()}


def test_tenths_are_of_ranks_ties_by_neuron() -> None:
    assert tenths(np.array([0.5, 0.1, 0.5, 0.0, 0.9])).tolist() == [4, 2, 6, 0, 8]
    assert tenths(np.zeros(20)).tolist() == [at // 2 for at in range(20)]


def test_the_only_other_neuron_of_each_tenth_is_drawn() -> None:
    """20 neurons: two in a tenth; layer 3 has them the other way round."""
    found = draw("frequency", 1, 0, subset(l0=[0, 5, 19], l3=[0]), {0: 20, 3: 20}, FREQUENCY)
    assert {layer: each.tolist() for layer, each in found.neurons.items()} == {
        0: [1, 4, 18],
        3: [1],
    }
    assert (found.n_matched, found.n_neighbour, found.n_unmatched) == (4, 0, 0)


def test_a_tenth_without_others_takes_from_the_nearest() -> None:
    """Neurons 0 and 1 are all of the first tenth: 2 and 3, of the second, stand in for them."""
    found = draw("frequency", 1, 0, subset(l0=[0, 1]), {0: 20}, FREQUENCY)
    assert found.neurons[0].tolist() == [2, 3]
    assert (found.n_matched, found.n_neighbour, found.n_unmatched) == (0, 2, 0)


def test_a_subset_that_fills_a_layer_leaves_nothing() -> None:
    for baseline in ("layer", "frequency"):
        whole = subset(l0=list(range(20)), l3=list(range(15)))
        found = draw(baseline, 1, 0, whole, {0: 20, 3: 20}, FREQUENCY)
        assert found.neurons.keys() == {3}
        assert found.neurons[3].tolist() == [15, 16, 17, 18, 19]
        assert found.n_matched + found.n_neighbour == 5
        assert found.n_unmatched == 30


def test_draws_are_these_on_every_machine() -> None:
    chosen = subset(l3=[1, 2], l0=[7])
    found = [
        {layer: each.tolist() for layer, each in draw(*which, chosen, SIZES, MANY).neurons.items()}
        for which in (("layer", 1, 0), ("layer", 2, 0), ("frequency", 1, 0), ("layer", 1, 1))
    ]
    assert found == DRAWN


SIZES = {0: 100, 3: 100}
MANY = {layer: np.arange(100) / 100 for layer in SIZES}
DRAWN = [{0: [89], 3: [4, 45]}, {0: [22], 3: [36, 62]}, {0: [6], 3: [7, 8]}, {0: [97], 3: [69, 77]}]


@given(
    st.sampled_from(("layer", "frequency")),
    npst.arrays(bool, 60).filter(lambda chosen: bool(chosen.any())),
    npst.arrays(np.float64, 60, elements=st.floats(0, 1)),
    st.integers(0, 50),
)
def test_the_rule_holds_for_any_subset(
    baseline: str, chosen: Any, frequency: Any, seed: int
) -> None:
    neurons = {2: np.flatnonzero(chosen).astype(np.int32)}
    found = draw(baseline, 1, seed, neurons, {2: 60}, {2: frequency})
    drawn = found.neurons.get(2, np.zeros(0, np.int32))
    assert len(set(drawn.tolist())) == len(drawn) == min(len(neurons[2]), 60 - len(neurons[2]))
    assert not chosen[drawn].any()
    assert found.n_matched + found.n_neighbour + found.n_unmatched == len(neurons[2])
    if baseline == "frequency":
        tenth = tenths(frequency)
        wanted = np.bincount(tenth[neurons[2]], minlength=10)
        there = np.bincount(tenth[~chosen], minlength=10)
        assert found.n_matched == int(np.minimum(wanted, there).sum())
        got = np.bincount(tenth[drawn], minlength=10)
        assert (got >= np.minimum(wanted, there)).all()
    else:
        assert found.n_neighbour == 0


def sums(effects: Any) -> Any:
    """Numbers and sums by context of effects [context, position]."""
    return np.stack([np.full(len(effects), effects.shape[1], float), effects.sum(1)], 1)


def test_the_interval_is_that_of_a_bootstrap_done_apart() -> None:
    rng = np.random.default_rng(0)
    subset_effects = rng.normal(0.3, 1, (40, 10)) + rng.normal(0, 0.5, (40, 1))
    draws = rng.normal(0.1, 1, (5, 40, 10)) + rng.normal(0, 0.2, (5, 1, 1))
    found = difference(sums(subset_effects), np.stack([sums(each) for each in draws]), seed=4)
    assert found.difference == pytest.approx(subset_effects.mean() - draws.mean())
    apart = []
    for _ in range(4000):
        at, of = rng.integers(0, 40, 40), rng.integers(0, 5, 5)
        apart.append(subset_effects[at].mean() - np.mean([draws[d][at].mean() for d in of]))
    low, high = np.quantile(apart, (0.025, 0.975))
    assert found.low == pytest.approx(low, abs=0.1 * (high - low))
    assert found.high == pytest.approx(high, abs=0.1 * (high - low))


def test_one_context_or_one_draw_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    one, many = sums(rng.normal(size=(1, 5))), sums(rng.normal(size=(6, 5)))
    for subset_sums, n_draws in ((one, 3), (many, 1)):
        found = difference(subset_sums, np.stack([subset_sums + 1] * n_draws), seed=0)
        assert found.difference is not None
        assert (found.low, found.high) == (None, None)


def test_without_a_finite_effect_there_is_no_difference() -> None:
    nothing = np.zeros((4, 2))
    assert difference(nothing, np.stack([nothing] * 2), seed=0) == (None, None, None)
