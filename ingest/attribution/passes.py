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
from jaxtyping import Bool, Float, Float64, Int
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
from catalog.ingest.routed import edited
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
    with ExitStack() as hooked:
        for layer, mlp in enumerate(mlps):
            done = 1 - layer / len(mlps)  # backwards, from the last layer on
            gathered = _OfLayer(layer, batch.counted, sums, done)
            if isinstance(mlp, TappedMlp):
                hooked.callback(gathered.hooked(mlp).remove)
                continue
            gathered.n_neurons = mlp.n_neurons
            hooked.enter_context(edited(mlp.routed, gathered.in_expert))
            if mlp.shared is not None:
                hooked.callback(gathered.hooked(mlp.shared, mlp.first_shared).remove)
        yield


@dataclass
class _OfLayer:
    """Takes in post times its slope of the neurons of one layer, of a dense MLP or of experts.

    `n_neurons`: of all experts, shared ones included; 0 where the layer has one MLP.
    """

    layer: int
    counted: Bool[Tensor, "b t"]
    sums: dict[int, tuple[Tensor, Tensor]]
    done: float  # of the backward pass, once the layer is taken in
    n_neurons: int = 0

    def hooked(self, mlp: TappedMlp, first: int = 0) -> RemovableHandle:
        """Take in an MLP, whose neurons are those from `first` on."""

        def before_writing(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            post = _beginning(inputs[0])
            seen = post.detach()
            # OPT's MLP reads the positions of all contexts in a row.
            post.register_hook(
                lambda slope: self._take(first, (seen * slope).view(*self.counted.shape, -1))
            )
            return (post,)

        return mlp.writes.register_forward_pre_hook(before_writing)

    def in_expert(self, expert: int, positions: Tensor, _: Tensor, post: Tensor) -> Tensor:
        """Take in a routed expert at the positions at which it is asked."""
        post = _beginning(post)
        seen, first = post.detach(), expert * post.shape[1]
        post.register_hook(lambda slope: self._take_routed(first, positions, seen * slope))
        return post

    def _take(self, first: int, product: Float[Tensor, "b t m"]) -> None:
        # A zero ablation replaces post where positions count, so only there it has an effect.
        product[~self.counted.to(product.device)] = 0
        effect = product.sum(1, dtype=torch.float64).neg()
        self._bring(first, effect, product.abs_().sum(1, dtype=torch.float64))
        tell_done(self.done)

    def _take_routed(
        self, first: int, positions: Int[Tensor, " r"], product: Float[Tensor, "r m"]
    ) -> None:
        n_contexts, n_tokens = self.counted.shape
        product[~self.counted.to(product.device).flatten()[positions]] = 0
        empty = torch.zeros(
            n_contexts, product.shape[1], dtype=torch.float64, device=product.device
        )
        rows = positions // n_tokens
        effect, magnitude = (
            empty.index_add(0, rows, values.double()) for values in (product.neg(), product.abs())
        )
        self._bring(first, effect, magnitude)

    def _bring(self, first: int, *found: Float64[Tensor, "b m"]) -> None:
        """Sums of the neurons from `first` on."""
        if not self.n_neurons:
            self.sums[self.layer] = found[0], found[1]
            return
        if self.layer not in self.sums:
            effect, magnitude = (each.new_zeros(len(each), self.n_neurons) for each in found)
            self.sums[self.layer] = effect, magnitude
        for total, values in zip(self.sums[self.layer], found, strict=True):
            total[:, first : first + values.shape[1]] += values


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
