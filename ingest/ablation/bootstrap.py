"""Percentile intervals of the difference between a subset and its baseline.

docs/definitions.md, "What a neuron causes": contexts and draws are resampled, the contexts alike
for the subset and all draws.
"""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

N_RESAMPLES: Final = 2000
_AT_ONCE: Final = 1 << 22  # context weights of a part of the resamples, 32 MB
_STREAM: Final = 1_000_003
"""Tells these random numbers from those of draws, which share the seed."""


class Difference(NamedTuple):
    """The subset's mean effect minus the mean over the draws; None where there is no number."""

    difference: float | None
    low: float | None
    high: float | None


def difference(
    subset: Float64[ndarray, "context 2"],
    draws: Float64[ndarray, "draw context 2"],
    seed: int,
) -> Difference:
    """Difference and 95% interval from numbers and sums of effects by context.

    No interval with one context or one draw. A resample in which no position is left is not used.
    """
    n_draws, n_contexts = draws.shape[:2]
    arms = np.concatenate([subset[None], draws])  # [arm, context, 2]
    means = _means(np.ones((1, n_contexts)), arms)[0]
    if not np.isfinite(means).all():
        return Difference(None, None, None)
    found = float(means[0] - means[1:].mean())
    if n_contexts < 2 or n_draws < 2:
        return Difference(found, None, None)
    rng = np.random.Generator(np.random.PCG64([seed, _STREAM]))
    at_once = max(1, _AT_ONCE // n_contexts)
    resampled = []
    for start in range(0, N_RESAMPLES, at_once):
        n = min(at_once, N_RESAMPLES - start)
        weights = rng.multinomial(n_contexts, np.full(n_contexts, 1 / n_contexts), n)
        of_draws = rng.multinomial(n_draws, np.full(n_draws, 1 / n_draws), n) / n_draws
        means = _means(weights.astype(np.float64), arms)
        resampled.append(means[:, 0] - (means[:, 1:] * of_draws).sum(1))
    values = np.concatenate(resampled)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return Difference(found, None, None)
    low, high = np.quantile(values, (0.025, 0.975))
    return Difference(found, float(low), float(high))


def _means(
    weights: Float64[ndarray, "resample context"] | Int64[ndarray, "resample context"],
    arms: Float64[ndarray, "arm context 2"],
) -> Float64[ndarray, "resample arm"]:
    """The mean effect of each arm when contexts count as often as `weights` say."""
    with np.errstate(invalid="ignore"):
        means: Float64[ndarray, "resample arm"] = (weights @ arms[..., 1].T) / (
            weights @ arms[..., 0].T
        )
    return means
