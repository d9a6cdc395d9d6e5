"""Tapping the MLPs of a transformers model: gate, in and post of every layer of one forward pass.

The three are TransformerLens' hook_pre, hook_pre_linear and hook_post (DESIGN 1).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from catalog.errors import CheckpointError


class MlpValues(NamedTuple):
    """What one MLP computed for one batch, in the dtype of the model (DESIGN 1)."""

    gate: Float[Tensor, "b t n"]
    x_in: Float[Tensor, "b t n"]
    post: Float[Tensor, "b t n"]


Tap = Callable[[int, MlpValues], None]
"""Called once per layer with (layer, values)."""


class GatedMlp(NamedTuple):
    """The modules of one gated MLP; `up_proj` is None where gate_proj computes both (Phi-3)."""

    gate_proj: nn.Module
    up_proj: nn.Module | None
    down_proj: nn.Linear


def find_mlps(model: nn.Module) -> list[GatedMlp]:
    """The gated MLPs of `model` by layer.

    Raises CheckpointError unless the layers 0, 1, ... each have a `mlp` with down_proj and either
    gate_proj and up_proj or gate_up_proj.
    """
    found: dict[int, GatedMlp] = {}
    for name, module in model.named_modules():
        match = re.search(r"(?:^|\.)layers\.(\d+)\.mlp$", name)
        parts = dict(module.named_children()) if match else {}
        down_proj = parts.get("down_proj")
        gate_proj = parts.get("gate_proj", parts.get("gate_up_proj"))
        if match is None or gate_proj is None or not isinstance(down_proj, nn.Linear):
            continue
        if ("gate_up_proj" in parts) != ("up_proj" in parts):
            found[int(match[1])] = GatedMlp(gate_proj, parts.get("up_proj"), down_proj)
    if not found or sorted(found) != list(range(len(found))):
        raise CheckpointError(
            f"{type(model).__name__} has no gated MLP in every layer: looked for modules named "
            "layers.N.mlp with gate_proj, up_proj and down_proj, or gate_up_proj and down_proj"
        )
    return [found[layer] for layer in range(len(found))]


@contextmanager
def tap_mlps(model: nn.Module, tap: Tap) -> Iterator[None]:
    """Within the context, every forward pass of `model` calls `tap` once per layer."""
    handles = [
        handle for layer, mlp in enumerate(find_mlps(model)) for handle in _tap_one(layer, mlp, tap)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tap_one(layer: int, mlp: GatedMlp, tap: Tap) -> list[RemovableHandle]:
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def hook(_: nn.Module, __: tuple[Tensor], output: Tensor) -> None:
            seen[name] = output

        return hook

    def before_down(_: nn.Module, inputs: tuple[Tensor]) -> None:
        gate = seen.pop("gate")
        gate, x_in = gate.chunk(2, dim=-1) if mlp.up_proj is None else (gate, seen.pop("in"))
        tap(layer, MlpValues(gate, x_in, inputs[0]))

    handles = [mlp.gate_proj.register_forward_hook(keep("gate"))]
    if mlp.up_proj is not None:
        handles.append(mlp.up_proj.register_forward_hook(keep("in")))
    return [*handles, mlp.down_proj.register_forward_pre_hook(before_down)]
