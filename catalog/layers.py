"""How many neurons the layers of a model have, and which of them belong to which expert."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerSizes:
    """The neurons of every layer (docs/definitions.md, "Neuron").

    Layers are `dense`, with `d_dense` neurons, or sparse: `n_experts` routed experts of `d_expert`
    neurons each, then `d_shared` of a shared one, which counts as the expert after them. Without
    experts `n_experts` is 0 and all layers are dense.
    """

    n_layers: int
    d_dense: int
    n_experts: int = 0
    d_expert: int = 0
    d_shared: int = 0
    dense_layers: Sequence[int] = ()

    @classmethod
    def of_entry(
        cls,
        n_layers: int,
        d_mlp: int,
        n_experts: int | None,
        d_expert: int | None,
        d_shared: int | None,
        d_dense: int | None,
        dense_layers: Sequence[int] | None,
    ) -> "LayerSizes":
        """From the columns of an entry; those about experts are NULL where there are none."""
        if not n_experts:
            return cls(n_layers, d_mlp)
        return cls(
            n_layers, d_dense or 0, n_experts, d_expert or 0, d_shared or 0, dense_layers or ()
        )

    @property
    def d_mlp(self) -> int:
        """The most neurons of a layer."""
        return max(self.d_dense, self._d_sparse)

    @property
    def n_neurons(self) -> int:
        """Neurons of all layers."""
        return sum(map(self.of_layer, range(self.n_layers)))

    @property
    def last_expert(self) -> int:
        """Number of a sparse layer's last expert."""
        return self.n_experts - (not self.d_shared)

    @property
    def _d_sparse(self) -> int:
        return self.n_experts * self.d_expert + self.d_shared

    def is_dense(self, layer: int) -> bool:
        """Whether a layer has no experts."""
        return self.n_experts == 0 or layer in self.dense_layers

    def of_layer(self, layer: int) -> int:
        """Neurons of a layer."""
        return self.d_dense if self.is_dense(layer) else self._d_sparse

    def of_expert(self, expert: int) -> int:
        """Neurons of an expert, routed or shared."""
        return self.d_expert if expert < self.n_experts else self.d_shared

    def expert_of(self, layer: int, neuron: int) -> int | None:
        """The expert that a neuron belongs to, None in dense layers."""
        return None if self.is_dense(layer) else min(neuron // self.d_expert, self.n_experts)
