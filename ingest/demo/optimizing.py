"""How the demo models' weights are moved: by neuron in the MLPs, by Muon in attention."""

from collections.abc import Iterable
from math import inf
from typing import Any

import torch
from torch import Tensor

from catalog.ingest.demo.models import Model, mlp_matrices
from catalog.ingest.demo.recipe import Recipe

BETAS = (0.9, 0.99)
_TINY = 1e-8


class AdamByNeuron(torch.optim.Optimizer):
    """AdamW with one second moment for each neuron's vector (Adam-mini; Zhang et al., 2024).

    A step keeps the direction of the neuron's gradient. AdamW scales every coordinate to the same
    size, which adds a share of everything to each vector and takes from what two of them have in
    common.
    """

    def __init__(
        self, matrices: Iterable[Tensor], d_model: int, lr: float, weight_decay: float
    ) -> None:
        """Take matrices [d_mlp, d_model] and [d_model, d_mlp]; d_mlp is another number."""
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})
        self.d_model = d_model

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix once."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._move(matrix, matrix.grad, group["lr"], group["weight_decay"])

    def _move(self, matrix: Tensor, gradient: Tensor, lr: float, weight_decay: float) -> None:
        state: dict[str, Any] = self.state[matrix]
        along = 0 if len(matrix) == self.d_model else 1  # of one neuron's vector
        squares = gradient.square().mean(along, keepdim=True)
        if not state:
            state.update(n=0, mean=torch.zeros_like(matrix), square=torch.zeros_like(squares))
        state["n"] += 1
        state["mean"].lerp_(gradient, 1 - BETAS[0])
        state["square"].lerp_(squares, 1 - BETAS[1])
        size = (state["square"] / (1 - BETAS[1] ** state["n"])).sqrt() + _TINY
        matrix.mul_(1 - lr * weight_decay)
        matrix.sub_(state["mean"] / size, alpha=lr / (1 - BETAS[0] ** state["n"]))


def optimizers(model: Model, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return AdamW for the embeddings, Muon for attention, AdamByNeuron for the MLPs.

    Gains do not decay. Each group says by what step the recipe halves its learning rate.
    """
    attention = [p for layer in model.model.layers for p in layer.self_attn.parameters()]
    mlps = mlp_matrices(model) if recipe.by_neuron else []
    taken = {id(p) for p in (*attention, *mlps)}
    rest = [p for p in model.parameters() if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim == 2], "weight_decay": recipe.embedding_decay},
        {"params": [p for p in rest if p.ndim == 1], "weight_decay": 0.0},
    ]
    parts: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, recipe.lr, betas=BETAS, fused=True),
        torch.optim.Muon(
            attention,
            recipe.lr,
            weight_decay=recipe.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
    ]
    if mlps:
        parts.append(AdamByNeuron(mlps, recipe.d_model, recipe.lr, recipe.mlp_decay))
    for part in parts:
        for group in part.param_groups:
            slows = isinstance(part, AdamByNeuron)
            group["halved_at"] = recipe.mlp_halved_at if slows else inf
    return parts


def rate(step: int, recipe: Recipe, halved_at: float) -> float:
    """Return the learning rate's share of its peak: a rise, a plateau, a line down to zero.

    Over all of it lies a hyperbola, one half at step `halved_at`.
    """
    rise = (step + 1) / recipe.warmup
    fall = (1 - step / recipe.steps) / recipe.decay_share
    return min(rise, 1.0, fall) / (1 + step / halved_at)
