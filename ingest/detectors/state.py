"""The states of the two passes that find detectors: integers, so that merging is exact.

The first counts the firings of every neuron by bucket of input tokens: a state of fixed size. If
some tokens make a share of a neuron's firings, their buckets, which are no more, make at least as
much, so buckets that do not make it rule a neuron out and never wrongly. The second counts those
that are left by token.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray
from torch import Tensor

from catalog.errors import MismatchError
from catalog.ingest.job_passes import CorpusPlan
from catalog.ingest.state_files import save_arrays, saved_arrays
from catalog.taxonomy import DETECTOR_FIRINGS, DETECTOR_PERCENT, DETECTOR_TOKENS

N_BUCKETS: Final = 64
"""A token is in the bucket of its id modulo this. Tokenizers number frequent tokens together, which
spreads them. More buckets hardly leave fewer candidates: of SmolLM2's 46,080 neurons on 12,000
tokens 16 buckets leave 20, 64 leave 14, and 128 or more 13."""

_TOKEN_BITS: Final = 32


@dataclass(frozen=True)
class DetectorPlan(CorpusPlan):
    """That of either pass."""

    candidates: str = ""  # digest of the neurons that are counted, '' for all


@dataclass
class BucketState:
    """How often every neuron fired in `units`, by bucket of the input token; on the host."""

    plan: DetectorPlan
    counts: Int64[ndarray, "l bucket n"]
    units: set[int] = field(default_factory=set)
    halved: dict[int, int] = field(default_factory=dict)  # unit -> parts it had to be cut into

    @classmethod
    def empty(cls, plan: DetectorPlan) -> Self:
        """A state that holds no unit."""
        return cls(plan, np.zeros((plan.n_layers, N_BUCKETS, plan.d_mlp), np.int64))

    @property
    def mb(self) -> float:
        """Size in MB (1e6 bytes): fixed by the model."""
        return self.counts.nbytes / 1e6

    @property
    def n_fired(self) -> Int64[ndarray, "l n"]:
        """Positions at which each neuron fired."""
        fired: Int64[ndarray, "l n"] = self.counts.sum(1)
        return fired

    @property
    def candidates(self) -> Bool[ndarray, "l n"]:
        """The neurons that may be detectors; none that is one is left out."""
        ranked = np.partition(self.counts, N_BUCKETS - DETECTOR_TOKENS, axis=1)
        n_covered, n_fired = ranked[:, -DETECTOR_TOKENS:].sum(1), self.n_fired
        chosen: Bool[ndarray, "l n"] = (n_fired >= DETECTOR_FIRINGS) & _covers(n_covered, n_fired)
        return chosen

    def merge(self, other: Self) -> None:
        """Take in the state of other units of the same plan; exact in any order.

        Raises MismatchError if the plans differ or a unit is in both.
        """
        _require_apart(self, other)
        self.counts += other.counts
        self.units |= other.units
        self.halved |= other.halved

    def save(self, path: Path) -> None:
        """Write one file, whole or not at all; raises EnvironmentFault if it cannot be written."""
        save_arrays(path, _header(self), {"counts": self.counts})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises EnvironmentFault if the file is damaged."""
        with saved_arrays(path) as (header, arrays):
            plan = DetectorPlan(**header["plan"])
            return cls(plan, arrays["counts"], set(header["units"]), dict(header["halved"]))


@dataclass
class TokenState:
    """How often candidates fired in `units`, by input token; on the host.

    `keys`, ascending: neuron and token as in `keys_of`. Their number is at most that of candidates
    times that of the corpus' different tokens, whatever its length.
    """

    plan: DetectorPlan
    keys: Int64[ndarray, " m"]
    counts: Int64[ndarray, " m"]
    units: set[int] = field(default_factory=set)
    halved: dict[int, int] = field(default_factory=dict)  # unit -> parts it had to be cut into

    @classmethod
    def empty(cls, plan: DetectorPlan) -> Self:
        """A state that holds no unit."""
        return cls(plan, np.zeros(0, np.int64), np.zeros(0, np.int64))

    @property
    def mb(self) -> float:
        """Size in MB (1e6 bytes)."""
        return (self.keys.nbytes + self.counts.nbytes) / 1e6

    def add(self, keys: Int64[ndarray, " k"], counts: Int64[ndarray, " k"]) -> None:
        """Take in more firings, by keys in any order."""
        self.keys, places = np.unique(np.concatenate([self.keys, keys]), return_inverse=True)
        summed = np.zeros(len(self.keys), np.int64)
        np.add.at(summed, places, np.concatenate([self.counts, counts]))
        self.counts = summed

    def merge(self, other: Self) -> None:
        """As of a BucketState."""
        _require_apart(self, other)
        self.add(other.keys, other.counts)
        self.units |= other.units
        self.halved |= other.halved

    def save(self, path: Path) -> None:
        """As of a BucketState."""
        save_arrays(path, _header(self), {"keys": self.keys, "counts": self.counts})

    @classmethod
    def load(cls, path: Path) -> Self:
        """As of a BucketState."""
        with saved_arrays(path) as (header, arrays):
            plan = DetectorPlan(**header["plan"])
            given = arrays["keys"], arrays["counts"]
            return cls(plan, *given, set(header["units"]), dict(header["halved"]))

    def cover(self, layer: int, neuron: int, n_fired: int) -> list[tuple[int, int]] | None:
        """The fewest tokens whose firings make the share, as (id, firings); None if too many."""
        index = layer * self.plan.d_mlp + neuron
        ends = np.array([index, index + 1], np.int64) << _TOKEN_BITS
        own = slice(*np.searchsorted(self.keys, ends))
        token_ids = self.keys[own] & ((1 << _TOKEN_BITS) - 1)
        counts = self.counts[own]
        # Of equal counts the lower id: ids ascend, and the sort is stable.
        first = np.argsort(-counts, kind="stable")[:DETECTOR_TOKENS]
        enough = np.flatnonzero(_covers(np.cumsum(counts[first]), n_fired))
        if n_fired < DETECTOR_FIRINGS or len(enough) == 0:
            return None
        chosen = first[: enough[0] + 1]
        return list(zip(token_ids[chosen].tolist(), counts[chosen].tolist(), strict=True))


def keys_of(index: Int64[Tensor, " k"], token_ids: Int64[Tensor, " k"]) -> Int64[Tensor, " k"]:
    """One number of a neuron, layer * d_mlp + neuron, and an input token."""
    return (index << _TOKEN_BITS) | token_ids


def _covers(n_covered: ndarray, n_fired: ndarray | int) -> ndarray:
    """Whether so many firings are the share; in integers, where nothing is rounded."""
    covered: ndarray = 100 * n_covered >= DETECTOR_PERCENT * np.asarray(n_fired)
    return covered


def _header(state: BucketState | TokenState) -> dict[str, object]:
    return {
        "plan": asdict(state.plan),
        "units": sorted(state.units),
        "halved": sorted(state.halved.items()),
    }


def _require_apart(one: BucketState | TokenState, other: BucketState | TokenState) -> None:
    if one.plan != other.plan:
        raise MismatchError("This is a partial result of another pass.")
    if both := one.units & other.units:
        raise MismatchError(f"Two partial results both hold unit {min(both)} of the corpus.")
