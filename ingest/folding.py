"""Folding norms into weights: gains and centring, by the kind of weights (docs/definitions.md)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from catalog.ingest.checkpoint import Checkpoint
from catalog.ingest.families import Family
from catalog.taxonomy import Vector, WeightKind


@dataclass(frozen=True)
class Folding:
    """What a kind of weights does to the tensors of a checkpoint."""

    checkpoint: Checkpoint
    family: Family
    kind: WeightKind

    @property
    def centres(self) -> bool:
        """Whether readers and writers are centred over d_model: in LayerNorm models, unless raw."""
        return self.family.norm_kind == "layer" and self.kind != "raw"

    def gain(
        self, norm: str | None, layer: int | None, device: torch.device | str
    ) -> Float[Tensor, " d_model"] | None:
        """What a norm multiplies with (Gemma: 1 + weight), float32; None for a gain of one."""
        if norm is None or self.family.gain == "one":
            return None
        weight = as_float32(self.checkpoint.tensor(self.family.weight(norm, layer)), device)
        return weight.add_(1.0) if self.family.gain == "one_plus_weight" else weight

    def fold_reader(self, rows: Float[Tensor, "n d_model"], layer: int) -> None:
        """Fold the norm before the MLP into what reads from it, in place; not for raw."""
        gain = self.gain(self.family.mlp_norm, layer, rows.device)
        if gain is not None:
            rows.mul_(gain)
        if self.centres:
            centre(rows)

    def fold_block(self, block: dict[Vector, Float[Tensor, "n d_model"]], layer: int) -> None:
        """Fold the norms around the MLP into the vectors of some neurons, in place; not for raw."""
        device = block["out"].device
        readers = [vector for vector in self.family.mlp.vectors if vector != "out"]
        gain = self.gain(self.family.mlp_norm, layer, device)
        if gain is not None:
            for vector in readers:
                block[vector].mul_(gain)
        if self.centres:
            centre(block["in"])
            centre(block["out"])
        if self.kind == "effective":
            post_gain = self.gain(self.family.post_mlp_norm, layer, device)
            if post_gain is not None:
                block["out"].mul_(post_gain)
            if self.centres and "gate" in block:
                centre(block["gate"])


def as_float32(values: Tensor, device: torch.device | str) -> Tensor:
    """A float32 copy on `device`; it crosses to the device in the checkpoint's smaller dtype."""
    return values.to(device).to(torch.float32, copy=True)


def centre(vectors: Float[Tensor, "n d_model"]) -> None:
    """Take from each vector its mean over d_model, in place."""
    vectors.sub_(vectors.mean(dim=1, keepdim=True))
