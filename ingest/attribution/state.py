"""The state of an attribution pass: sums by neuron, as integers, so that merging is exact."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64
from numpy import ndarray

from catalog.errors import CorpusError, MismatchError, Option
from catalog.ingest.job_passes import CorpusPlan
from catalog.ingest.state_files import save_arrays, saved_arrays

SUM_STEP: Final = 2.0**-40
"""Each context's sum is rounded once to a multiple of this (nats)."""

_LARGEST_SUM: Final = 2**62
_ARRAYS: Final = ("effect", "magnitude", "nonfinite")


@dataclass
class AttributionState:
    """What a pass has learned from `units`; NumPy, on the host.

    `effect`, `magnitude`: multiples of `SUM_STEP`. `nonfinite`: contexts in which the neuron's
    gradient is not finite. `n_scored`: positions with a loss.
    """

    plan: CorpusPlan
    effect: Int64[ndarray, "l n"]
    magnitude: Int64[ndarray, "l n"]
    nonfinite: Int64[ndarray, "l n"]
    n_scored: int = 0
    units: set[int] = field(default_factory=set)
    halved: dict[int, int] = field(default_factory=dict)  # unit -> parts it had to be cut into

    @classmethod
    def empty(cls, plan: CorpusPlan) -> Self:
        """A state that holds no unit."""
        shape = (plan.n_layers, plan.d_mlp)
        return cls(plan, *np.zeros((3, *shape), np.int64))

    @property
    def mb(self) -> float:
        """Size in MB (1e6 bytes): fixed by the model."""
        return (self.effect.nbytes + self.magnitude.nbytes + self.nonfinite.nbytes) / 1e6

    def add(
        self,
        layer: int,
        effect: Float64[ndarray, "b n"],
        magnitude: Float64[ndarray, "b n"],
    ) -> None:
        """Take in the sums of some contexts over their positions, of the layer's n neurons."""
        finite = np.isfinite(effect) & np.isfinite(magnitude)
        n = effect.shape[1]
        self.nonfinite[layer, :n] += (~finite).sum(0)
        for held, values in ((self.effect, effect), (self.magnitude, magnitude)):
            held[layer, :n] += (
                np.rint(np.where(finite, values, 0) / SUM_STEP).astype(np.int64).sum(0)
            )

    def merge(self, other: Self) -> None:
        """Take in the state of other units of the same plan; exact in any order.

        Raises MismatchError if the plans differ or a unit is in both.
        """
        if self.plan != other.plan:
            raise MismatchError("This is a partial result of another pass.")
        if both := self.units & other.units:
            raise MismatchError(f"Two partial results both hold unit {min(both)} of the corpus.")
        for name in _ARRAYS:
            getattr(self, name).__iadd__(getattr(other, name))
        self.n_scored += other.n_scored
        self.units |= other.units
        self.halved |= other.halved

    def save(self, path: Path) -> None:
        """Write one file, then rename it: a crash leaves the older one whole.

        Raises EnvironmentFault if it cannot be written, CorpusError if its sums are near overflow.
        """
        if int(self.magnitude.max(initial=0)) > _LARGEST_SUM:
            raise CorpusError(
                f"The sums over {self.n_scored:,} positions no longer fit into 64 bits.",
                "Use fewer ",
                Option("max_tokens"),
                ".",
            )
        header = {
            "plan": asdict(self.plan),
            "n_scored": self.n_scored,
            "units": sorted(self.units),
            "halved": sorted(self.halved.items()),
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        save_arrays(path, header, arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises EnvironmentFault if the file is damaged."""
        with saved_arrays(path) as (header, arrays):
            return cls(
                CorpusPlan(**header["plan"]),
                **{name: arrays[name] for name in _ARRAYS},
                n_scored=header["n_scored"],
                units=set(header["units"]),
                halved=dict(header["halved"]),
            )

    def table(self, layer: int, n: int) -> pa.Table:
        """Rows of `attribution` of a layer's n neurons; NULL where a gradient was not finite."""
        unknown = (self.nonfinite[layer, :n] > 0) | (self.n_scored == 0)

        def column(sums: Int64[ndarray, " n"]) -> pa.Array:
            return pa.array(sums * SUM_STEP / max(1, self.n_scored), mask=unknown)

        return pa.table(
            {
                "layer": pa.array(np.full(n, layer, np.int16)),
                "neuron": pa.array(np.arange(n, dtype=np.int32)),
                "effect": column(self.effect[layer, :n]),
                "magnitude": column(self.magnitude[layer, :n]),
            }
        )
