"""Baselines: other neurons, as many as a subset has in each layer, drawn at random.

docs/definitions.md, "What a neuron causes". Draws are made once and go to workers with the order.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int32
from numpy import ndarray

from catalog.ingest.ablation.subsets import NeuronsByLayer
from catalog.taxonomy import BASELINES

N_TENTHS: Final = 10

Frequencies = Mapping[int, Float[ndarray, " d_mlp"]]
"""Frequency of gate > 0 (plain MLPs: in > 0) of every neuron of a layer, by layer."""


@dataclass(frozen=True)
class Draw:
    """Neurons drawn, and how well they match the subset's.

    `n_matched` are of the layer and tenth of a neuron of the subset (layer alone where that is all
    the baseline asks), `n_neighbour` of another tenth; for `n_unmatched` the layer had none left.
    """

    neurons: NeuronsByLayer
    n_matched: int
    n_neighbour: int
    n_unmatched: int


def draw(
    baseline: str,
    number: int,
    seed: int,
    subset: NeuronsByLayer,
    d_mlp: Mapping[int, int],
    frequencies: Frequencies | None = None,
) -> Draw:
    """Draw `number` (from 1) of a baseline: without replacement, outside the subset.

    `d_mlp` are the neurons of each layer. PCG64 is seeded by (seed, baseline, number) and neurons
    are drawn by layer; `frequency` needs the frequencies.
    """
    rng = np.random.Generator(np.random.PCG64([seed, BASELINES.index(baseline), number]))
    neurons: dict[int, Int32[ndarray, " n"]] = {}
    n_matched = n_neighbour = 0
    for layer in sorted(subset):
        if baseline == "layer":
            tenth = np.zeros(d_mlp[layer], np.int64)
        else:
            assert frequencies is not None
            tenth = tenths(frequencies[layer])
        same, near = _drawn(rng, subset[layer], tenth)
        n_matched += len(same)
        n_neighbour += len(near)
        if len(same) + len(near):
            neurons[layer] = np.sort(np.concatenate([same, near])).astype(np.int32)
    n_asked = sum(len(each) for each in subset.values())
    return Draw(neurons, n_matched, n_neighbour, n_asked - n_matched - n_neighbour)


def tenths(frequency: Float[ndarray, " d_mlp"]) -> Int32[ndarray, " d_mlp"]:
    """floor(10 (r - 1) / n), r the rank by frequency, ascending, then by neuron."""
    n = len(frequency)
    rank = np.empty(n, np.int64)  # from 0
    rank[np.lexsort((np.arange(n), frequency))] = np.arange(n)
    return (N_TENTHS * rank // n).astype(np.int32)


def _drawn(
    rng: np.random.Generator, chosen: Int32[ndarray, " n"], tenth: Int32[ndarray, " d_mlp"]
) -> tuple[Int32[ndarray, " same"], Int32[ndarray, " near"]]:
    """Neurons of the tenths of `chosen`, and those from the nearest for what these lack."""
    free = np.ones(len(tenth), bool)
    free[chosen] = False
    wanted = np.bincount(tenth[chosen], minlength=N_TENTHS)
    same, near = [], []
    lacking = {}
    for at in np.flatnonzero(wanted).tolist():
        pool = np.flatnonzero(free & (tenth == at))
        taken = np.sort(rng.choice(pool, min(int(wanted[at]), len(pool)), replace=False))
        same.append(taken)
        lacking[at] = int(wanted[at]) - len(taken)
    for taken in same:
        free[taken] = False
    for at, n_lacking in lacking.items():
        for pool in _nearest(at, tenth, free):
            taken = np.sort(rng.choice(pool, min(n_lacking, len(pool)), replace=False))
            free[taken] = False
            near.append(taken)
            n_lacking -= len(taken)
            if n_lacking == 0:
                break
    none = [np.zeros(0, np.int64)]
    return np.concatenate(same + none), np.concatenate(near + none)


def _nearest(
    at: int, tenth: Int32[ndarray, " d_mlp"], free: ndarray
) -> Iterator[Int32[ndarray, " n"]]:
    """What is free in other tenths, the nearest first; both sides of one distance together."""
    for distance in range(1, N_TENTHS):
        yield np.flatnonzero(free & (np.abs(tenth - at) == distance))
