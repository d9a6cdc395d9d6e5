"""Ablations of a tiny checkpoint by a plain loop: one context at a time, weights by their names.

Nothing of the project is used but the tensors' names in a Llama checkpoint.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor
from transformers import AutoModelForCausalLM

Where = Callable[[int, Tensor, Tensor], Tensor]
"""From layer, gate [t, n] and post [t, n] to where post is replaced, [t, n]."""


@dataclass(frozen=True)
class Plain:
    """A causal model whose MLPs are computed anew, and its final norm with them."""

    model: Any

    @classmethod
    def load(cls, folder: Path) -> "Plain":
        return cls(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())

    def metrics(
        self,
        tokens: ndarray,
        counted: Bool[ndarray, " t"],
        where: Where | None = None,
        value: dict[int, Float[ndarray, " n"]] | None = None,
    ) -> Float[ndarray, "metric t"]:
        """loss, entropy, rank, log_scale at every position, NaN where they have no meaning."""
        layers = self.model.model.layers
        scale: list[Tensor] = []
        handles = []
        for at, layer in enumerate(layers):
            handles.append(layer.mlp.register_forward_hook(self._mlp(at, counted, where, value)))
        handles.append(
            self.model.model.norm.register_forward_pre_hook(
                lambda _, inputs: scale.append(inputs[0][0].double())
            )
        )
        with torch.no_grad():
            logits = self.model(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].double()
        for handle in handles:
            handle.remove()
        p = logits.softmax(-1)
        found = np.full((4, len(tokens)), np.nan)
        epsilon = self.model.config.rms_norm_eps
        for t in range(len(tokens)):
            if not counted[t]:
                continue
            found[1, t] = -(p[t] * p[t].log()).sum()
            found[3, t] = float(((scale[0][t] ** 2).mean() + epsilon).log()) / 2
            if t + 1 < len(tokens) and counted[t + 1]:
                target = logits[t, tokens[t + 1]]
                found[0, t] = -p[t, tokens[t + 1]].log()
                found[2, t] = 1 + (logits[t] > target).sum()
        return found

    def _mlp(self, at: int, counted: ndarray, where: Where | None, value: Any) -> Any:
        def hook(mlp: Any, inputs: tuple[Tensor], _: Tensor) -> Tensor:
            x = inputs[0][0]
            gate = x @ mlp.gate_proj.weight.T
            post = torch.nn.functional.silu(gate) * (x @ mlp.up_proj.weight.T)
            if where is not None:
                replaced = where(at, gate, post) & torch.from_numpy(counted)[:, None]
                new = torch.zeros(post.shape[1])
                if value is not None and at in value:
                    new = torch.from_numpy(value[at])
                post = torch.where(replaced, new, post)
            written: Tensor = post @ mlp.down_proj.weight.T
            return written[None]

        return hook
