"""Tapping the MLPs of a transformers model: gate, in and post of every layer of one forward pass.

The three are TransformerLens' hook_pre, hook_pre_linear and hook_post.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Self

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from catalog.errors import CheckpointError
from catalog.ingest.families import Family, Mlp
from catalog.ingest.routed import RoutedValues, tapped
from catalog.layers import LayerSizes


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


class TappedExperts(NamedTuple):
    """The experts of one layer: the module of the routed ones, and the shared MLP if there is one,
    whose neurons begin at `first_shared`; `block` is the layer around them."""

    routed: nn.Module
    shared: TappedMlp | None
    first_shared: int
    n_neurons: int
    block: nn.Module


class ExpertValues(NamedTuple):
    """What one expert computed for one batch; its neurons begin at `first` within the layer.

    `positions` of the batch, its contexts in a row, are those that were routed to it, ascending,
    and the values are `[r, n]`; None for a shared expert, whose values are `[b, t, n]`.
    """

    first: int
    positions: Int[Tensor, " r"] | None
    values: MlpValues


ExpertTap = Callable[[int, ExpertValues], None]
"""Called once per layer and expert, also those that no position is routed to."""


def find_layers(
    model: nn.Module, family: Family, sizes: LayerSizes
) -> list[TappedMlp | TappedExperts]:
    """The MLPs of `model` by layer, and its experts, at the modules that the family names.

    Raises CheckpointError unless every layer has what it should.
    """
    experts = family.experts
    if experts is None or sizes.n_experts == 0:
        return list(find_mlps(model, family, sizes.n_layers))
    found: list[TappedMlp | TappedExperts] = []
    for layer in range(sizes.n_layers):
        if sizes.is_dense(layer):
            found.append(_find_mlp(model, family.mlp, layer))
            continue
        shared = None if experts.shared is None else _find_mlp(model, experts.shared, layer)
        try:
            routed = model.get_submodule(experts.module.format(layer=layer))
            block = model.get_submodule(layer_of(experts.module).format(layer=layer))
        except AttributeError as error:
            raise _no_such_mlp(model, [experts.module]) from error
        first_shared, n = sizes.n_experts * sizes.d_expert, sizes.of_layer(layer)
        found.append(TappedExperts(routed, shared, first_shared, n, block))
    return found


def find_mlps(model: nn.Module, family: Family, n_layers: int) -> list[TappedMlp]:
    """The MLPs of `model` by layer, at the modules that the family names.

    Raises CheckpointError unless every layer has them.
    """
    return [_find_mlp(model, family.mlp, layer) for layer in range(n_layers)]


def _find_mlp(model: nn.Module, mlp: Mlp, layer: int) -> TappedMlp:
    block = layer_of(mlp.module).format(layer=layer)
    try:
        return TappedMlp(
            tuple(map(model.get_submodule, (m.format(layer=layer) for m in mlp.reads.values()))),
            model.get_submodule(mlp.writes.format(layer=layer)),
            model.get_submodule(block),
        )
    except AttributeError as error:
        raise _no_such_mlp(model, [*mlp.reads.values(), mlp.writes]) from error


def layer_of(module: str) -> str:
    """The module of the layer that a module is in: `layers.{layer}` of `layers.{layer}.mlp`."""
    before, _, _ = module.partition("{layer}")
    return before + "{layer}"


def _no_such_mlp(model: nn.Module, modules: Sequence[str]) -> CheckpointError:
    return CheckpointError(
        f"{type(model).__name__} has no such MLP in every layer: looked for modules named "
        f"{', '.join(dict.fromkeys(modules))}."
    )


@contextmanager
def tap_mlps(
    mlps: Sequence[TappedMlp | TappedExperts], tap: Tap, expert_tap: ExpertTap | None = None
) -> Iterator[None]:
    """Within the context, every forward pass of their model calls `tap` once per layer.

    In layers with experts it calls `expert_tap`, once for each of them.
    """
    with ExitStack() as taps:
        for layer, mlp in enumerate(mlps):
            if isinstance(mlp, TappedMlp):
                taps.enter_context(_tapped(layer, mlp, tap))
                continue
            assert expert_tap is not None, "no pass over experts without one"
            taps.enter_context(_experts_tapped(layer, mlp, expert_tap))
        yield


@contextmanager
def _tapped(layer: int, mlp: TappedMlp, tap: Tap) -> Iterator[None]:
    handles = _tap_one(layer, mlp, tap)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _experts_tapped(layer: int, experts: TappedExperts, tap: ExpertTap) -> Iterator[None]:
    def routed(expert: int, seen: RoutedValues) -> None:
        values = MlpValues(seen.gate, seen.x_in, seen.post)
        tap(layer, ExpertValues(expert * seen.post.shape[1], seen.positions, values))

    def shared(layer: int, values: MlpValues) -> None:
        tap(layer, ExpertValues(experts.first_shared, None, values))

    with ExitStack() as taps:
        taps.enter_context(tapped(experts.routed, routed))
        if experts.shared is not None:
            taps.enter_context(_tapped(layer, experts.shared, shared))
        yield


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
