"""The positions routed to one expert, packed side by side, so that no others are read."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from catalog.ingest.activations.contexts import Batch
from catalog.ingest.activations.hooks import MlpValues
from catalog.ingest.activations.reading import EMPTY, Reading


class Packed(NamedTuple):
    """Where routed positions of a batch go: the contexts that have some, in their order.

    r positions, c contexts with some, s the most that one of them has.
    """

    positions: Int[Tensor, " r"]  # of the batch, its contexts in a row, ascending
    contexts: Int[Tensor, " c"]  # rows of the batch
    row: Int[Tensor, " r"]  # among `contexts`
    slot: Int[Tensor, " r"]
    counted: Bool[Tensor, "c s"]

    @classmethod
    def of(cls, batch: Batch, positions: Int[Tensor, " r"]) -> "Packed":
        """Pack at least one position."""
        contexts, row, n = torch.unique_consecutive(
            positions // batch.tokens.shape[1], return_inverse=True, return_counts=True
        )
        starts = n.cumsum(0) - n
        slot = torch.arange(len(positions), device=positions.device) - starts[row]
        counted = torch.zeros(
            len(contexts), int(n.max()), dtype=torch.bool, device=positions.device
        )
        counted[row, slot] = batch.counted.flatten()[positions]
        return cls(positions, contexts, row, slot, counted)

    def packed(self, values: MlpValues) -> MlpValues:
        """Values `[r, n]` as `[c, s, n]`; 0 where there is none."""
        return MlpValues.of(self._placed(x) for x in values.tensors)

    def _placed(self, x: Tensor) -> Tensor:
        placed = x.new_zeros(*self.counted.shape, x.shape[-1])
        placed[self.row, self.slot] = x
        return placed

    def context_ids(self, batch: Batch) -> Int[Tensor, " c"]:
        """Ids of the contexts."""
        return batch.context_ids[self.contexts]

    def unpacked(self, reading: Reading, batch: Batch) -> Reading:
        """The reading with a row for every context of the batch."""
        n_contexts = len(batch.context_ids)
        key = reading.key.new_full((n_contexts, *reading.key.shape[1:]), EMPTY)
        key[self.contexts] = reading.key
        n_nonfinite = reading.n_nonfinite.new_zeros(n_contexts)
        n_nonfinite[self.contexts] = reading.n_nonfinite
        position = reading.position
        if position is not None:
            steps = position.new_zeros(self.counted.shape)
            steps[self.row, self.slot] = (self.positions % batch.tokens.shape[1]).int()
            there = steps[torch.arange(len(steps))[:, None, None], position.long()]
            position = position.new_zeros(n_contexts, *position.shape[1:])
            position[self.contexts] = there
        return reading._replace(key=key, n_nonfinite=n_nonfinite, position=position)

    def spread(self, values: MlpValues, batch: Batch) -> tuple[MlpValues, Bool[Tensor, "b t"]]:
        """Values `[r, n]` as `[b, t, n]`, 0 where the expert was not asked, and where it was."""
        asked = torch.zeros_like(batch.counted)
        asked.view(-1)[self.positions] = True

        def at_positions(x: Tensor) -> Tensor:
            spread = x.new_zeros(*batch.counted.shape, x.shape[-1])
            spread.view(-1, x.shape[-1])[self.positions] = x
            return spread

        return MlpValues.of(map(at_positions, values.tensors)), asked
