"""Ablations and attributions by a plain loop: one context at a time, weights by their names.

Nothing of the project is used but the tensors' names in a Llama checkpoint, what is asked for, and
which positions count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from numpy import ndarray
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from catalog.ingest.ablation.arms import Ablation
from catalog.ingest.activations.contexts import CountingRule

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
        value: Mapping[int, Float[ndarray, " n"]] | None = None,
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

    def effects(
        self,
        asked: Ablation,
        contexts: Sequence[ndarray],
        rule: CountingRule,
        means: Mapping[int, Float[ndarray, " n"]],
        flipped: Mapping[int, Bool[ndarray, " n"]],
    ) -> list[Float[ndarray, "metric t"]]:
        """Effects of an ablation in every context, ablated minus clean."""
        signs = {"+": 1, "-": -1}

        def where(layer: int, gate: Tensor, post: Tensor) -> Tensor:
            chosen = torch.zeros(post.shape, dtype=torch.bool)
            if layer in asked.subset.neurons:
                chosen[:, asked.subset.neurons[layer].tolist()] = True
            if asked.gate_sign is not None:
                chosen &= gate.sign() == signs[asked.gate_sign]
            if asked.post_sign is not None:
                canonical = torch.where(torch.from_numpy(flipped[layer]), -post, post)
                chosen &= canonical.sign() == signs[asked.post_sign]
            return chosen

        found = []
        for tokens in contexts:
            counted = rule.counted(tokens)
            value = means if asked.kind == "mean" else None
            ablated = self.metrics(tokens, counted, where, value)
            found.append(ablated - self.metrics(tokens, counted))
        return found

    def attributions(
        self, contexts: Sequence[ndarray], rule: CountingRule
    ) -> Float64[ndarray, "quantity layer n"]:
        """effect and magnitude by autograd, in the model's precision."""
        layers = self.model.model.layers
        self.model.requires_grad_(False)
        found = np.zeros((2, len(layers), self.model.config.intermediate_size))
        n_scored = 0
        for tokens in contexts:
            posts: list[Tensor] = []

            def compute(
                mlp: Any, inputs: tuple[Tensor], _: Tensor, seen: list[Tensor] = posts
            ) -> Tensor:
                x = inputs[0]
                post = nn.functional.silu(x @ mlp.gate_proj.weight.T) * (x @ mlp.up_proj.weight.T)
                if not post.requires_grad:
                    post.requires_grad_(True)
                post.retain_grad()
                seen.append(post)
                written: Tensor = post @ mlp.down_proj.weight.T
                return written

            handles = [each.mlp.register_forward_hook(compute) for each in layers]
            ids = torch.from_numpy(tokens.astype(np.int64))
            logits = self.model(ids[None]).logits[0]
            for handle in handles:
                handle.remove()
            counted = rule.counted(tokens)
            scored = [t for t in range(len(ids) - 1) if counted[t] and counted[t + 1]]
            n_scored += len(scored)
            if scored:
                sum(-logits[t].log_softmax(-1)[ids[t + 1]] for t in scored).backward()
                for layer, post in enumerate(posts):
                    assert post.grad is not None
                    product = (post * post.grad)[0].detach().double().numpy()[counted]
                    found[:, layer] += -product.sum(0), np.abs(product).sum(0)
        return found / n_scored
