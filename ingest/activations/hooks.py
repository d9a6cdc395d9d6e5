"""Tapping the MLPs of a transformers model: gate, in and post of every layer of one forward pass.

The three are TransformerLens' hook_pre, hook_pre_linear and hook_post.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from catalog.errors import CheckpointError
from catalog.ingest.families import Family


class MlpValues(NamedTuple):
    """What one MLP computed for one batch, in the dtype of the model; a plain one has no gate."""

    gate: Float[Tensor, "b t n"] | None
    x_in: Float[Tensor, "b t n"]
    post: Float[Tensor, "b t n"]

    @classmethod
    def of(cls, tensors: Iterable[Tensor]) -> Self:
        """From what `tensors` gives."""
        *gate, x_in, post = tensors
        return cls(gate[0] if gate else None, x_in, post)

    @property
    def reads(self) -> tuple[Float[Tensor, "b t n"], ...]:
        """The pre-activations: gate and in, or in alone."""
        return (self.x_in,) if self.gate is None else (self.gate, self.x_in)

    @property
    def tensors(self) -> tuple[Float[Tensor, "b t n"], ...]:
        """Those that there are, in order."""
        return (*self.reads, self.post)


Tap = Callable[[int, MlpValues], None]
"""Called once per layer with (layer, values)."""


class TappedMlp(NamedTuple):
    """The modules of one MLP: those it reads with, in the order of the vectors, and `writes`, which
    reads post; `block` is the layer around them."""

    reads: tuple[nn.Module, ...]  # the same module where one matrix computes both (Phi-3)
    writes: nn.Module
    block: nn.Module


def find_mlps(model: nn.Module, family: Family, n_layers: int) -> list[TappedMlp]:
    """The MLPs of `model` by layer, at the modules that the family names.

    Raises CheckpointError unless every layer has them.
    """
    mlp = family.mlp
    try:
        return [
            TappedMlp(
                tuple(
                    map(model.get_submodule, (m.format(layer=layer) for m in mlp.reads.values()))
                ),
                model.get_submodule(mlp.writes.format(layer=layer)),
                model.get_submodule(mlp.module.format(layer=layer).rpartition(".")[0]),
            )
            for layer in range(n_layers)
        ]
    except AttributeError as error:
        raise CheckpointError(
            f"{type(model).__name__} has no such MLP in every layer: looked for modules named "
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
    seen: dict[nn.Module, Tensor] = {}
    shape: list[int] = []

    def before_block(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        shape[:] = inputs[0].shape[:2]

    def keep(module: nn.Module, _: tuple[Tensor], output: Tensor) -> None:
        seen[module] = output

    def before_writing(_: nn.Module, inputs: tuple[Tensor]) -> None:
        read = [seen.pop(module) for module in modules]
        if len(read) < len(mlp.reads):
            read = list(read[0].chunk(len(mlp.reads), dim=-1))
        # OPT's MLP reads the positions of all contexts in a row.
        tap(
            layer,
            MlpValues.of(x.unflatten(0, shape) if x.ndim == 2 else x for x in (*read, inputs[0])),
        )

    modules = list(dict.fromkeys(mlp.reads))
    return [
        mlp.block.register_forward_pre_hook(before_block),
        *(module.register_forward_hook(keep) for module in modules),
        mlp.writes.register_forward_pre_hook(before_writing),
    ]
