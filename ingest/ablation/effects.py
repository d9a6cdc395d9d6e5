"""The state of an ablation pass: effects of every arm, ablated minus clean. Merging is exact.

Sums are kept by context, and a context is in one unit, so nothing is added in an order that
depends on workers; histograms and counts are integers, extremes and rankings follow total orders.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64
from numpy import ndarray

from catalog.errors import MismatchError
from catalog.ingest.state_files import save_arrays, saved_arrays
from catalog.taxonomy import METRICS, SIGNS

N_METRICS: Final = len(METRICS)
BINS_AN_OCTAVE: Final = 64
_LOWEST, _HIGHEST = -64, 32
"""Octaves of the histogram: |effects| from 2^-64 to 2^32; what lies beyond is in the outermost."""

N_BINS: Final = BINS_AN_OCTAVE * (_HIGHEST - _LOWEST)
"""Of one sign; bin N_BINS of the histogram is 0 itself."""


@dataclass(frozen=True)
class EffectPlan:
    """All that decides the result; states merge and resume only if every field agrees."""

    model: str  # fingerprint of the checkpoint
    corpus: str  # digest of the corpus as tokenised
    n_contexts: int
    arms: str  # digest of all that is replaced, where and by what
    n_arms: int
    n_ablations: int
    k: int  # positions kept by ablation, metric and sign
    tokens_per_batch: int
    dtype: str  # of the forward pass, as torch names it
    device: str  # kind of device, 'cpu' or 'cuda'


@dataclass
class EffectState:
    """What a pass has learned from `units`; NumPy, on the host.

    `moments`: by context, of each arm and metric the number of finite effects, their sum and the
    sum of their squares. `extreme`: smallest and largest. `places`: context and position of the k
    largest effects of either sign of each ablation's subset, `top` the effects (0: none).
    """

    plan: EffectPlan
    moments: dict[int, Float64[ndarray, "arm metric 3"]]
    histogram: Int64[ndarray, "arm metric bin"]
    extreme: Float64[ndarray, "arm metric 2"]
    nonfinite: Int64[ndarray, "arm metric"]
    top: Float64[ndarray, "ablation metric sign k"]
    places: Int64[ndarray, "ablation metric sign k 2"]
    n_positions: int = 0
    units: set[int] = field(default_factory=set)
    halved: dict[int, int] = field(default_factory=dict)  # unit -> parts it had to be cut into

    @classmethod
    def empty(cls, plan: EffectPlan) -> Self:
        """A state that holds no unit."""
        arms, kept = (plan.n_arms, N_METRICS), (plan.n_ablations, N_METRICS, len(SIGNS), plan.k)
        return cls(
            plan,
            moments={},
            histogram=np.zeros((*arms, 2 * N_BINS + 1), np.int64),
            extreme=np.tile(np.array([np.inf, -np.inf]), (*arms, 1)),
            nonfinite=np.zeros(arms, np.int64),
            top=np.zeros(kept),
            places=np.zeros((*kept, 2), np.int64),
        )

    @property
    def mb(self) -> float:
        """Size of the state in MB (1e6 bytes) when it holds all contexts."""
        arrays = (self.histogram, self.extreme, self.nonfinite, self.top, self.places)
        moments = self.plan.n_contexts * self.plan.n_arms * N_METRICS * 3 * 8
        return (sum(each.nbytes for each in arrays) + moments) / 1e6

    def add(
        self,
        arm: int,
        effects: Float64[ndarray, "metric p"],
        contexts: Int64[ndarray, " p"],
        positions: Int64[ndarray, " p"],
        has_next: Bool[ndarray, " p"],
        ablation: int | None,
    ) -> None:
        """Take in the effects of an arm at scored positions of contexts that are new to it.

        Effects that are NaN or infinite are counted and left out; loss and rank without a next
        token are no effects. `ablation` is the place of the ablation whose subset the arm is, None
        for a draw.
        """
        finite = np.isfinite(effects)
        for metric, name in enumerate(METRICS):
            meant = has_next if name in ("loss", "rank") else np.ones(len(has_next), bool)
            there = finite[metric] & meant
            self.nonfinite[arm, metric] += np.count_nonzero(meant & ~there)
            values = effects[metric, there]
            self._add_sums(arm, metric, values, contexts[there])
            if len(values) == 0:
                continue
            counts = np.bincount(bins(values), minlength=2 * N_BINS + 1)
            self.histogram[arm, metric] += counts
            low, high = self.extreme[arm, metric]
            self.extreme[arm, metric] = min(low, values.min()), max(high, values.max())
            if ablation is not None:
                places = np.stack([contexts[there], positions[there]], 1)
                self._challenge(ablation, metric, values, places)

    def _add_sums(
        self,
        arm: int,
        metric: int,
        values: Float64[ndarray, " p"],
        contexts: Int64[ndarray, " p"],
    ) -> None:
        ids, at = np.unique(contexts, return_inverse=True)
        for weight, column in ((None, 0), (values, 1), (values**2, 2)):
            sums = np.bincount(at, weight, minlength=len(ids))
            for context, value in zip(ids.tolist(), sums.tolist(), strict=True):
                self._of_context(context)[arm, metric, column] += value

    def _of_context(self, context: int) -> Float64[ndarray, "arm metric 3"]:
        if context not in self.moments:
            self.moments[context] = np.zeros((self.plan.n_arms, N_METRICS, 3))
        return self.moments[context]

    def _challenge(
        self,
        ablation: int,
        metric: int,
        values: Float64[ndarray, " p"],
        places: Int64[ndarray, "p 2"],
    ) -> None:
        """Let positions into the top-k: |effect| first, then the lower context and position."""
        for at, sign in enumerate((1, -1)):
            held = self.top[ablation, metric, at]
            here = values * sign > max(0.0, np.abs(held).min())
            here |= (values * sign == np.abs(held).min()) & (values != 0)
            every = np.concatenate([held, values[here]])
            where = np.concatenate([self.places[ablation, metric, at], places[here]])
            order = np.lexsort((where[:, 1], where[:, 0], -np.abs(every)))[: self.plan.k]
            self.top[ablation, metric, at] = every[order]
            self.places[ablation, metric, at] = where[order]

    def merge(self, other: Self) -> None:
        """Take in the state of other units of the same plan; exact in any order.

        Raises MismatchError if the plans differ or a unit is in both.
        """
        if self.plan != other.plan:
            raise MismatchError("This is a partial result of another pass.")
        if both := self.units & other.units:
            raise MismatchError(f"Two partial results both hold unit {min(both)} of the corpus.")
        self.moments |= other.moments
        self.histogram += other.histogram
        self.extreme[..., 0] = np.minimum(self.extreme[..., 0], other.extreme[..., 0])
        self.extreme[..., 1] = np.maximum(self.extreme[..., 1], other.extreme[..., 1])
        self.nonfinite += other.nonfinite
        for ablation in range(self.plan.n_ablations):
            for metric in range(N_METRICS):
                top, places = other.top[ablation, metric], other.places[ablation, metric]
                self._challenge(ablation, metric, top.ravel(), places.reshape(-1, 2))
        self.n_positions += other.n_positions
        self.units |= other.units
        self.halved |= other.halved

    def save(self, path: Path) -> None:
        """Write one file, then rename it: a crash leaves the older one whole.

        Raises EnvironmentFault if it cannot be written.
        """
        ids = sorted(self.moments)
        shape = (len(ids), self.plan.n_arms, N_METRICS, 3)
        header = {
            "plan": asdict(self.plan),
            "n_positions": self.n_positions,
            "units": sorted(self.units),
            "halved": sorted(self.halved.items()),
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays["contexts"] = np.array(ids, np.int64)
        arrays["moments"] = np.array([self.moments[each] for each in ids]).reshape(shape)
        save_arrays(path, header, arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises EnvironmentFault if the file is damaged."""
        with saved_arrays(path) as (header, arrays):
            moments = dict(zip(arrays["contexts"].tolist(), arrays["moments"], strict=True))
            return cls(
                EffectPlan(**header["plan"]),
                moments,
                **{name: arrays[name] for name in _ARRAYS},
                n_positions=header["n_positions"],
                units=set(header["units"]),
                halved=dict(header["halved"]),
            )


_ARRAYS: Final = ("histogram", "extreme", "nonfinite", "top", "places")


def bins(values: Float64[ndarray, " p"]) -> Int[ndarray, " p"]:
    """The bin of each value: N_BINS is 0, bins above it are positive, those below negative."""
    with np.errstate(divide="ignore"):
        octave = np.floor(BINS_AN_OCTAVE * np.log2(np.abs(values)))
    size = np.clip(octave, BINS_AN_OCTAVE * _LOWEST, BINS_AN_OCTAVE * _HIGHEST - 1)
    number = N_BINS + np.sign(values) * (size - BINS_AN_OCTAVE * _LOWEST + 1)
    return np.asarray(number, np.int64)


def middle(bin_number: Int[ndarray, " q"]) -> Float[ndarray, " q"]:
    """The value in the (geometric) middle of a bin."""
    size = np.abs(bin_number - N_BINS)
    exponent = (size - 1 + 0.5) / BINS_AN_OCTAVE + _LOWEST
    value = np.where(size == 0, 0.0, np.exp2(exponent))
    return np.asarray(np.sign(bin_number - N_BINS) * value)


def quantiles(
    histogram: Int64[ndarray, " bin"],
    extreme: Float64[ndarray, "2"],
    shares: tuple[float, ...],
) -> list[float]:
    """Values below which these shares of a histogram lie, to half a bin, within the extremes."""
    n = int(histogram.sum())
    ranks = [int(share * (n - 1)) for share in shares]  # the lower of the two around it
    at = np.searchsorted(np.cumsum(histogram), ranks, side="right")
    return [float(each) for each in np.clip(middle(at), *extreme)]
