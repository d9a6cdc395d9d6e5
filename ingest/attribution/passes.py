"""The pass of an attribution: one forward and one backward pass a batch, for all neurons.

docs/definitions.md, "What a neuron causes". Weights need no gradient; the graph begins at the first
layer's post, and the head is differentiated a few positions at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor, nn

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
from catalog.ingest.activations.hooks import TappedMlp
from catalog.ingest.activations.model import load_model
from catalog.ingest.attribution.state import AttributionState
from catalog.ingest.job_passes import CorpusJob, JobOpening, OpenJobPass
from catalog.ingest.within import tell_done

_Sums = dict[int, tuple[Float64[ndarray, "b n"], Float64[ndarray, "b n"]]]
"""Sums over the positions of each context, by layer: of -post dL/dpost and of its magnitude."""


@dataclass(frozen=True)
class AttributionJob(CorpusJob):
    """Everything that decides a pass but the tokens themselves; it can be pickled."""

    def empty_state(self) -> AttributionState:
        return AttributionState.empty(self.plan)

    def tables(self, state: AttributionState, layer: int) -> Mapping[str, pa.Table]:
        return {"attribution": state.table(layer)}

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
        return OpenAttributionPass(self, loaded.model, loaded.mlps, reader, opening, head)


class _Found(NamedTuple):
    """What one batch says."""

    sums: _Sums
    n_scored: int


@dataclass(frozen=True)
class OpenAttributionPass(OpenJobPass[AttributionState, _Found]):
    """The pass with its model loaded."""

    job: AttributionJob
    mlps: Sequence[TappedMlp]
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
    mlps: Sequence[TappedMlp], batch: Batch, sums: dict[int, tuple[Tensor, Tensor]]
) -> Iterator[None]:
    """Within the context, a backward pass fills `sums`, by layer: [b, n] each, float64."""

    def take(layer: int, post: Float[Tensor, "b t n"]) -> Callable[[Tensor], None]:
        def hook(slope: Float[Tensor, "b t n"]) -> None:
            # OPT's MLP reads the positions of all contexts in a row.
            product = (post * slope).view(*batch.counted.shape, -1)
            # A zero ablation replaces post where positions count, so only there it has an effect.
            product[~batch.counted.to(product.device)] = 0
            effect = product.sum(1, dtype=torch.float64).neg()
            sums[layer] = effect, product.abs_().sum(1, dtype=torch.float64)
            tell_done(1 - layer / len(mlps))  # backwards, from the last layer on

        return hook

    def before_writing(layer: int) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
        def hook(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            post = inputs[0]
            if not post.requires_grad:
                post = post.detach().requires_grad_(True)
            post.register_hook(take(layer, post.detach()))
            return (post,)

        return hook

    handles = [
        mlp.writes.register_forward_pre_hook(before_writing(layer))
        for layer, mlp in enumerate(mlps)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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
