"""The pass of an attribution: one forward and one backward pass a batch, for all neurons.

docs/definitions.md, "What a neuron causes". Weights need no gradient; the graph begins at the first
layer's post, and the head is differentiated a few positions at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import torch
from jaxtyping import Float, Float64, Int
from numpy import ndarray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from catalog.ingest.ablation.readout import (
    LOGITS_AT_ONCE,
    LanguageModelHead,
    load_head,
    scored_positions,
)
from catalog.ingest.activations.contexts import (
    Batch,
    ContextReader,
)
from catalog.ingest.activations.hooks import TappedExperts, TappedMlp
from catalog.ingest.activations.model import load_model
from catalog.ingest.attribution.state import AttributionState
from catalog.ingest.job_passes import CorpusJob, JobOpening, OpenJobPass
from catalog.ingest.routed import ExpertEdit, edited
from catalog.ingest.within import tell_done

_Sums = dict[int, tuple[Float64[ndarray, "b n"], Float64[ndarray, "b n"]]]
"""Sums over the positions of each context, by layer: of -post dL/dpost and of its magnitude."""


@dataclass(frozen=True)
class AttributionJob(CorpusJob):
    """Everything that decides a pass but the tokens themselves; it can be pickled."""

    def empty_state(self) -> AttributionState:
        return AttributionState.empty(self.plan)

    def tables(self, state: AttributionState, layer: int) -> Mapping[str, pa.Table]:
        return {"attribution": state.table(layer, self.weights.sizes.of_layer(layer))}

    def open(self, reader: ContextReader) -> "OpenAttributionPass":
        weights = self.weights
        loaded = load_model(weights.checkpoint, getattr(torch, self.dtype), self.device)
        loaded.model.requires_grad_(False)
        head = load_head(
            weights.checkpoint, loaded.model, weights.unembedding_name, weights.embedding_name
        )
        notes = {"attention_implementation": loaded.attention}
        said = "one forward and backward pass"
        opening = JobOpening(AttributionState, self.plan, said, notes)
        return OpenAttributionPass(self, loaded.model, loaded.layers, reader, opening, head)


class _Found(NamedTuple):
    """What one batch says."""

    sums: _Sums
    n_scored: int


@dataclass(frozen=True)
class OpenAttributionPass(OpenJobPass[AttributionState, _Found]):
    """The pass with its model loaded."""

    job: AttributionJob
    mlps: Sequence[TappedMlp | TappedExperts]
    head: LanguageModelHead

    def take_in(self, state: AttributionState, found: _Found) -> None:
        for layer, of_layer in found.sums.items():
            state.add(layer, *of_layer)
        state.n_scored += found.n_scored

    def found(self, batch: Batch) -> _Found:
        """Sums of every neuron over the scored positions of each context."""
        sums: dict[int, tuple[Tensor, Tensor]] = {}
        with torch.enable_grad(), differentiated(self.mlps, batch, sums):
            hidden = self.model(
                input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False
            ).last_hidden_state
            slope, n_scored = loss_slope(self.head, hidden.detach(), batch)
            torch.autograd.backward(hidden, slope)
        on_host = {
            layer: tuple(each.cpu().numpy() for each in of_layer)
            for layer, of_layer in sorted(sums.items())
        }
        return _Found(on_host, n_scored)  # type: ignore[arg-type]


@contextmanager
def differentiated(
    mlps: Sequence[TappedMlp | TappedExperts],
    batch: Batch,
    sums: dict[int, tuple[Tensor, Tensor]],
) -> Iterator[None]:
    """Within the context, a backward pass fills `sums`, by layer: [b, n] each, float64.

    A routed expert has a gradient where it is asked. Where it is not its neurons add nothing.
    """
    n_contexts, n_tokens = batch.counted.shape

    def take(layer: int, n: int, first: int, product: Float[Tensor, "b t m"]) -> None:
        # A zero ablation replaces post where positions count, so only there it has an effect.
        product[~batch.counted.to(product.device)] = 0
        effect = product.sum(1, dtype=torch.float64).neg()
        bring(layer, n, first, effect, product.abs_().sum(1, dtype=torch.float64))
        tell_done(1 - layer / len(mlps))  # backwards, from the last layer on

    def take_routed(
        layer: int, n: int, first: int, positions: Int[Tensor, " r"], product: Float[Tensor, "r m"]
    ) -> None:
        product[~batch.counted.to(product.device).flatten()[positions]] = 0
        effect, magnitude = (
            torch.zeros(
                n_contexts, product.shape[1], dtype=torch.float64, device=product.device
            ).index_add_(0, positions // n_tokens, values.double())
            for values in (product.neg(), product.abs())
        )
        bring(layer, n, first, effect, magnitude)

    def bring(layer: int, n: int, first: int, *found: Float64[Tensor, "b m"]) -> None:
        """Sums of the neurons from `first` on, of the n of a layer."""
        if found[0].shape[1] == n:
            sums[layer] = found[0], found[1]
            return
        if layer not in sums:
            sums[layer] = found[0].new_zeros(n_contexts, n), found[0].new_zeros(n_contexts, n)
        for total, values in zip(sums[layer], found, strict=True):
            total[:, first : first + values.shape[1]] += values

    def in_mlp(layer: int, mlp: TappedMlp, n: int | None = None, first: int = 0) -> RemovableHandle:
        def before_writing(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            post = _beginning(inputs[0])
            seen = post.detach()

            def hook(slope: Tensor) -> None:
                # OPT's MLP reads the positions of all contexts in a row.
                product = (seen * slope).view(n_contexts, n_tokens, -1)
                take(layer, product.shape[-1] if n is None else n, first, product)

            post.register_hook(hook)
            return (post,)

        return mlp.writes.register_forward_pre_hook(before_writing)

    def in_experts(layer: int, n: int) -> ExpertEdit:
        def edit(expert: int, positions: Tensor, _: Tensor, post: Tensor) -> Tensor:
            post = _beginning(post)
            seen, first = post.detach(), expert * post.shape[1]
            post.register_hook(lambda slope: take_routed(layer, n, first, positions, seen * slope))
            return post

        return edit

    with ExitStack() as hooked:
        for layer, mlp in enumerate(mlps):
            if isinstance(mlp, TappedMlp):
                hooked.callback(in_mlp(layer, mlp).remove)
                continue
            hooked.enter_context(edited(mlp.routed, in_experts(layer, mlp.n_neurons)))
            if mlp.shared is not None:
                shared = in_mlp(layer, mlp.shared, mlp.n_neurons, mlp.first_shared)
                hooked.callback(shared.remove)
        yield


def _beginning(post: Tensor) -> Tensor:
    """post as the graph goes through it; the first layer's is where it begins."""
    return post if post.requires_grad else post.detach().requires_grad_(True)


def loss_slope(
    head: LanguageModelHead, hidden: Float[Tensor, "b t d_model"], batch: Batch
) -> tuple[Float[Tensor, "b t d_model"], int]:
    """The gradient of the sum of losses at scored positions, and the number of these."""
    scored = scored_positions(batch)
    has_loss = scored.next_tokens >= 0
    rows, next_tokens = (
        each[has_loss].to(hidden.device) for each in (scored.rows, scored.next_tokens)
    )
    slope = torch.zeros_like(hidden)
    flat, flat_slope = hidden.flatten(0, 1), slope.view(-1, hidden.shape[-1])
    start, step = 0, 1  # the first row says how many logits there are
    while start < len(rows):
        part = slice(start, start + step)
        given = flat[rows[part]].requires_grad_(True)
        logits = head.logits(given).float()
        loss = nn.functional.cross_entropy(logits, next_tokens[part], reduction="sum")
        (flat_slope[rows[part]],) = torch.autograd.grad(loss, given)
        start, step = start + step, max(1, LOGITS_AT_ONCE // logits.shape[1])
    return slope, len(rows)
