"""Replacing post, and starting a pass at a later layer, by hooks on the model's own modules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from catalog.ingest.ablation.arms import PostSign
from catalog.ingest.ablation.subsets import NeuronsByLayer
from catalog.ingest.activations.hooks import TappedExperts, TappedMlp
from catalog.ingest.routed import ExpertEdit, edited


@dataclass(frozen=True)
class Replacement:
    """What takes the place of post, and where.

    `means`: by layer, None for zero. `flipped`: by layer, needed with `post_sign`.
    """

    neurons: NeuronsByLayer
    means: Mapping[int, Float[Tensor, " n"]] | None = None
    gate_sign: PostSign | None = None
    post_sign: PostSign | None = None
    flipped: Mapping[int, Bool[Tensor, " n"]] | None = None


@contextmanager
def replacing(
    mlps: Sequence[TappedMlp | TappedExperts],
    replacement: Replacement,
    counted: Bool[Tensor, "b t"],
) -> Iterator[None]:
    """Within the context, forward passes of one batch replace post at `counted` positions.

    The input of the module that writes is post; signs are read before it is replaced. A routed
    expert's post is replaced where it is asked, and is nowhere else.
    """
    with ExitStack() as replaced:
        for layer in replacement.neurons:
            mlp = mlps[layer]
            if isinstance(mlp, TappedMlp):
                replaced.enter_context(_in_mlp(layer, 0, mlp, replacement, counted))
                continue
            replaced.enter_context(edited(mlp.routed, _of_experts(layer, replacement, counted)))
            if mlp.shared is not None:
                own = layer, mlp.first_shared, mlp.shared
                replaced.enter_context(_in_mlp(*own, replacement, counted))
        yield


def _of_experts(layer: int, replacement: Replacement, counted: Bool[Tensor, "b t"]) -> ExpertEdit:
    def edit(
        expert: int,
        positions: Int[Tensor, " r"],
        gate: Float[Tensor, "r n"],
        post: Float[Tensor, "r n"],
    ) -> Float[Tensor, "r n"]:
        there = counted.to(post.device).flatten()[positions]
        return _replaced(layer, expert * post.shape[1], replacement, post, gate, there)

    return edit


@contextmanager
def _in_mlp(
    layer: int,
    first: int,
    mlp: TappedMlp,
    replacement: Replacement,
    counted: Bool[Tensor, "b t"],
) -> Iterator[None]:
    """The neurons of the MLP are those of the layer from `first` on."""
    seen: list[Tensor] = []
    gate = mlp.reads[0]  # where there is one, for no other MLP is asked for its sign

    def keep_gate(_: nn.Module, __: tuple[Tensor], output: Tensor) -> None:
        fused = len(set(mlp.reads)) < len(mlp.reads)
        seen[:] = [output.chunk(len(mlp.reads), dim=-1)[0] if fused else output]

    def before_writing(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        # OPT's MLP reads the positions of all contexts in a row.
        post = inputs[0].view(*counted.shape, -1)
        own_gate = seen.pop().view_as(post) if seen else None
        replaced = _replaced(layer, first, replacement, post, own_gate, counted.to(post.device))
        return (replaced.view_as(inputs[0]),)

    handles: list[RemovableHandle] = [mlp.writes.register_forward_pre_hook(before_writing)]
    if replacement.gate_sign is not None:
        handles.append(gate.register_forward_hook(keep_gate))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _replaced(
    layer: int,
    first: int,
    replacement: Replacement,
    post: Float[Tensor, "... n"],
    gate: Float[Tensor, "... n"] | None,
    counted: Bool[Tensor, "..."],
) -> Float[Tensor, "... n"]:
    """post of the layer's neurons from `first` on, replaced where it is to be."""
    at, n = post.device, post.shape[-1]
    numbers = replacement.neurons[layer].astype("int64") - first
    own = numbers[(numbers >= 0) & (numbers < n)]
    if len(own) == 0:
        return post
    chosen = torch.zeros(n, dtype=torch.bool, device=at)
    chosen[torch.from_numpy(own).to(at)] = True
    value = torch.zeros((), dtype=post.dtype, device=at)
    if replacement.means is not None:
        value = replacement.means[layer][first : first + n].to(at, post.dtype)
    if replacement.gate_sign is None and replacement.post_sign is None:
        return _everywhere(post, chosen, value, counted)
    where = chosen & counted[..., None]
    if replacement.gate_sign is not None:
        assert gate is not None
        where &= _has_sign(gate, replacement.gate_sign)
    if replacement.post_sign is not None:
        assert replacement.flipped is not None
        flipped = replacement.flipped[layer][first : first + n].to(at)
        positive, negative = post > 0, post < 0
        if replacement.post_sign == "-":
            positive, negative = negative, positive
        where &= torch.where(flipped, negative, positive)
    return torch.where(where, value, post)


def _everywhere(
    post: Float[Tensor, "... n"],
    chosen: Bool[Tensor, " n"],
    value: Tensor,
    counted: Bool[Tensor, "..."],
) -> Float[Tensor, "... n"]:
    """Replaced at all counted positions, in one reading of post; the few others are put back."""
    replaced = torch.where(chosen, value, post)
    others = ~counted
    replaced[others] = post[others]
    return replaced


def _has_sign(x: Float[Tensor, "..."], sign: PostSign) -> Bool[Tensor, "..."]:
    return x > 0 if sign == "+" else x < 0


class LayerInputs:
    """The residual stream before some layers of one batch, and passes that start there."""

    def __init__(self, mlps: Sequence[TappedMlp | TappedExperts]) -> None:
        self._blocks = [mlp.block for mlp in mlps]
        self._kept: dict[int, Tensor] = {}
        self._in_tuple = False

    @property
    def n_bytes(self) -> int:
        """Of the streams that are held."""
        return sum(each.nbytes for each in self._kept.values())

    @contextmanager
    def kept_before(self, layers: set[int]) -> Iterator[None]:
        """Within the context, a forward pass leaves the streams that these layers read."""
        self._kept.clear()

        def keep(layer: int) -> Callable[..., None]:
            def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                self._kept[layer] = args[0] if args else kwargs["hidden_states"]

            return hook

        def note_kind(_: nn.Module, __: Any, output: Any) -> None:
            self._in_tuple = isinstance(output, tuple)

        handles = [self._blocks[0].register_forward_hook(note_kind)]
        handles += [
            self._blocks[layer].register_forward_pre_hook(keep(layer), with_kwargs=True)
            for layer in sorted(layers - {0})
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def started_at(self, layer: int) -> Iterator[None]:
        """Within the context, a forward pass of the batch begins with the stream kept there."""
        if layer == 0:
            yield
            return
        stream = self._kept[layer]

        def pass_on(*_: Any, **__: Any) -> Any:
            return (stream,) if self._in_tuple else stream

        skipped = self._blocks[:layer]
        before = [block.__dict__.get("forward") for block in skipped]
        for block in skipped:
            block.forward = pass_on
        try:
            yield
        finally:
            for block, forward in zip(skipped, before, strict=True):
                if forward is None:
                    del block.forward
                else:
                    block.forward = forward

    def forget(self, before: int) -> None:
        """Let go of streams that only layers before this one read."""
        for layer in [layer for layer in self._kept if layer < before]:
            del self._kept[layer]
