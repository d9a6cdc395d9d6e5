"""Where the weights of an MLP lie, by the vectors that its neurons have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from catalog.taxonomy import VECTORS, Vector


def _gated() -> dict[Vector, str]:
    return {"gate": "layers.{layer}.mlp.gate_proj", "in": "layers.{layer}.mlp.up_proj"}


@dataclass(frozen=True)
class Mlp:
    """Modules of the MLP: those whose rows are the vectors that a neuron reads with, in the order
    of `VECTORS`, and the one whose columns it writes.

    Equal modules mean one fused matrix whose rows are those of the vectors one after another. A
    name with `{expert}` is that of one expert's module; without it, where `stacked`, the name of
    a stack of matrices, one for each expert.
    """

    reads: Mapping[Vector, str] = field(default_factory=_gated)
    writes: str = "layers.{layer}.mlp.down_proj"
    module: str = "layers.{layer}.mlp"
    stacked: bool = False

    def tensor(self, module: str, **at: int | None) -> str:
        """Name within the decoder of the tensor of one of its modules; a stack is a parameter."""
        return module.format(**at) + ("" if self.stacked else ".weight")

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """The vectors that each neuron has, in the order of `VECTORS`."""
        return tuple(vector for vector in VECTORS if vector in self.reads or vector == "out")

    @property
    def gated(self) -> bool:
        """Whether a neuron has a gate."""
        return "gate" in self.reads

    @property
    def fused(self) -> bool:
        """Whether one matrix holds all that the MLP reads with."""
        return len(self.reads) > 1 and len(set(self.reads.values())) == 1
