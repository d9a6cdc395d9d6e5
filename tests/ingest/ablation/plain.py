"""Ablations and attributions by a plain loop: one context at a time, weights by their names.

Nothing of the project is used but the tensors' names in a Llama checkpoint, or in one with experts,
what is asked for, and which positions count.
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

Where = Callable[[int, slice, Tensor, Tensor], Tensor]
"""From layer, neurons in it, gate and post [t, n], to where post is replaced, [t, n]."""

Edit = Callable[[slice, Tensor, Tensor], Tensor]
"""From neurons of a layer, gate and post [t, n], to what is written instead of post."""


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
            handles += written_by(layer.mlp, self._replaced(at, counted, where, value))
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

    def _replaced(self, at: int, counted: ndarray, where: Where | None, value: Any) -> Edit:
        def edit(own: slice, gate: Tensor, post: Tensor) -> Tensor:
            if where is None:
                return post
            replaced = where(at, own, gate, post) & torch.from_numpy(counted)[:, None]
            new = torch.zeros(post.shape[1])
            if value is not None and at in value:
                new = torch.from_numpy(value[at])[own]
            return torch.where(replaced, new, post)

        return edit

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

        def where(layer: int, own: slice, gate: Tensor, post: Tensor) -> Tensor:
            chosen = torch.zeros(post.shape, dtype=torch.bool)
            for neuron in asked.subset.neurons.get(layer, ()):
                if own.start <= neuron < own.stop:
                    chosen[:, neuron - own.start] = True
            if asked.gate_sign is not None:
                chosen &= gate.sign() == signs[asked.gate_sign]
            if asked.post_sign is not None:
                canonical = torch.where(torch.from_numpy(flipped[layer])[own], -post, post)
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
        sizes = [n_neurons(layer.mlp) for layer in layers]
        found = np.zeros((2, len(layers), max(sizes)))
        n_scored = 0
        for tokens in contexts:
            posts: list[tuple[int, slice, Tensor]] = []
            handles = [
                handle
                for at, each in enumerate(layers)
                for handle in written_by(each.mlp, remembering(at, posts))
            ]
            ids = torch.from_numpy(tokens.astype(np.int64))
            logits = self.model(ids[None]).logits[0]
            for handle in handles:
                handle.remove()
            counted = rule.counted(tokens)
            scored = [t for t in range(len(ids) - 1) if counted[t] and counted[t + 1]]
            n_scored += len(scored)
            if scored:
                sum(-logits[t].log_softmax(-1)[ids[t + 1]] for t in scored).backward()
                for layer, own, post in posts:
                    assert post.grad is not None
                    product = (post * post.grad).detach().double().numpy()[counted]
                    found[:, layer, own] += -product.sum(0), np.abs(product).sum(0)
        return found / n_scored


def remembering(at: int, posts: list[tuple[int, slice, Tensor]]) -> Edit:
    """Leaves post as it is, and in `posts`, with its gradient to come."""

    def edit(own: slice, _: Tensor, post: Tensor) -> Tensor:
        if not post.requires_grad:
            post.requires_grad_(True)
        post.retain_grad()
        posts.append((at, own, post))
        return post

    return edit


def n_neurons(mlp: Any) -> int:
    """Neurons of a layer, those of all its experts."""
    if not hasattr(mlp, "experts"):
        return int(mlp.up_proj.weight.shape[0])
    n_experts, _, d_expert = mlp.experts.down_proj.shape
    shared = getattr(mlp, "shared_expert", None)
    return int(n_experts * d_expert) + (n_neurons(shared) if shared is not None else 0)


def written_by(mlp: Any, edit: Edit, first: int = 0) -> list[Any]:
    """Hooks that compute an MLP, or all experts of a layer, anew, from the edited post."""

    def of_mlp(mlp: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        x = inputs[0].flatten(0, -2)
        gate = x @ mlp.gate_proj.weight.T
        post = nn.functional.silu(gate) * (x @ mlp.up_proj.weight.T)
        post = edit(slice(first, first + post.shape[1]), gate, post)
        written: Tensor = post @ mlp.down_proj.weight.T
        return written.view_as(output)

    def of_experts(experts: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> Tensor:
        x, asked, weights = inputs
        n_experts, _, d_expert = experts.down_proj.shape
        reads = [experts.gate_up_proj[e].split(d_expert) for e in range(n_experts)]
        gate, x_in = (torch.cat([x @ w[at].T for w in reads], 1) for at in range(2))
        post = edit(slice(0, n_experts * d_expert), gate, nn.functional.silu(gate) * x_in)
        written = []
        for t in range(len(x)):
            of_asked = [
                weight * (experts.down_proj[e] @ post[t, e * d_expert : (e + 1) * d_expert])
                for e, weight in zip(asked[t].tolist(), weights[t], strict=True)
            ]
            written.append(torch.stack(of_asked).sum(0))
        return torch.stack(written).view_as(output)

    if not hasattr(mlp, "experts"):
        return [mlp.register_forward_hook(of_mlp)]
    handles = [mlp.experts.register_forward_hook(of_experts)]
    if getattr(mlp, "shared_expert", None) is not None:
        n_routed = n_neurons(mlp) - n_neurons(mlp.shared_expert)
        handles += written_by(mlp.shared_expert, edit, n_routed)
    return handles
