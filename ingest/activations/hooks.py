"""Tapping the MLPs of a transformers model: gate, in and post of every layer of one forward pass.

The three are TransformerLens' hook_pre, hook_pre_linear and hook_post.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from catalog.errors import CheckpointError
from catalog.ingest.families import Family


class MlpValues(NamedTuple):
    """What one MLP computed for one batch, in the dtype of the model."""

    gate: Float[Tensor, "b t n"]
    x_in: Float[Tensor, "b t n"]
    post: Float[Tensor, "b t n"]


Tap = Callable[[int, MlpValues], None]
"""Called once per layer with (layer, values)."""


class TappedMlp(NamedTuple):
    """The modules of one MLP: those it reads with, by vector; `writes` reads post."""

    gate: nn.Module
    x_in: nn.Module  # the same module where one matrix computes both (Phi-3)
    writes: nn.Module


def find_mlps(model: nn.Module, family: Family, n_layers: int) -> list[TappedMlp]:
    """The MLPs of `model` by layer, at the modules that the family names.

    Raises CheckpointError unless every layer has them.
    """
    mlp = family.mlp
    try:
        return [
            TappedMlp(
                model.get_submodule(mlp.reads["gate"].format(layer=layer)),
                model.get_submodule(mlp.reads["in"].format(layer=layer)),
                model.get_submodule(mlp.writes.format(layer=layer)),
            )
            for layer in range(n_layers)
        ]
    except AttributeError as error:
        raise CheckpointError(
            f"{type(model).__name__} has no gated MLP in every layer: looked for modules named "
            f"{', '.join(dict.fromkeys([*mlp.reads.values(), mlp.writes]))}."
        ) from error


@contextmanager
def tap_mlps(mlps: Sequence[TappedMlp], tap: Tap) -> Iterator[None]:
    """Within the context, every forward pass of their model calls `tap` once per layer."""
    handles = [handle for layer, mlp in enumerate(mlps) for handle in _tap_one(layer, mlp, tap)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tap_one(layer: int, mlp: TappedMlp, tap: Tap) -> list[RemovableHandle]:
    seen: dict[str, Tensor] = {}
    fused = mlp.gate is mlp.x_in

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def hook(_: nn.Module, __: tuple[Tensor], output: Tensor) -> None:
            seen[name] = output

        return hook

    def before_writing(_: nn.Module, inputs: tuple[Tensor]) -> None:
        gate = seen.pop("gate")
        gate, x_in = gate.chunk(2, dim=-1) if fused else (gate, seen.pop("in"))
        tap(layer, MlpValues(gate, x_in, inputs[0]))

    handles = [mlp.gate.register_forward_hook(keep("gate"))]
    if not fused:
        handles.append(mlp.x_in.register_forward_hook(keep("in")))
    return [*handles, mlp.writes.register_forward_pre_hook(before_writing)]
