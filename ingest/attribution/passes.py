"""The pass of an attribution: one forward and one backward pass a batch, for all neurons.

docs/definitions.md, "What a neuron causes". Weights need no gradient; the graph begins at the first
layer's post, and the head is differentiated a few positions at a time.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from jaxtyping import Float, Float64, Int32, Int64
from numpy import ndarray
from torch import Tensor, nn

from catalog.ingest.ablation.readout import LOGITS_AT_ONCE, LanguageModelHead, load_head
from catalog.ingest.activations.contexts import (
    Batch,
    ContextReader,
    CountingRule,
    Unit,
    plan_units,
    read_batch,
)
from catalog.ingest.activations.hooks import TappedMlp
from catalog.ingest.activations.model import load_model
from catalog.ingest.activations.run import synchronise
from catalog.ingest.attribution.state import AttributionPlan, AttributionState
from catalog.ingest.job_passes import cut_note, in_parts
from catalog.ingest.neuron_vectors import NeuronVectors

_Sums = dict[int, tuple[Float64[ndarray, "b n"], Float64[ndarray, "b n"]]]
"""Sums over the positions of each context, by layer: of -post dL/dpost and of its magnitude."""


@dataclass(frozen=True)
class AttributionJob:
    """Everything that decides a pass but the tokens themselves; it can be pickled."""

    weights: NeuronVectors
    device: torch.device
    dtype: str  # of the forward pass, as torch names it
    corpus: str  # digest
    lengths: Int32[ndarray, " n_contexts"]
    rule: CountingRule
    tokens_per_batch: int

    @cached_property
    def units(self) -> list[Unit]:
        """The units of the corpus."""
        return plan_units(self.lengths, self.tokens_per_batch)

    @property
    def plan(self) -> AttributionPlan:
        """What the state must agree with."""
        return AttributionPlan(
            model=self.weights.checkpoint.fingerprint,
            corpus=self.corpus,
            n_layers=self.weights.n_layers,
            d_mlp=self.weights.d_mlp,
            tokens_per_batch=self.tokens_per_batch,
            dtype=self.dtype,
            device=self.device.type,
        )

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
        opening = AttributionOpening(self.plan, {"attention_implementation": loaded.attention})
        return OpenAttributionPass(self, loaded.model, loaded.mlps, head, reader, opening)


class AttributionOpening(NamedTuple):
    """What was found when the model was loaded."""

    plan: AttributionPlan
    notes: dict[str, Any]
    description: str = "one forward and backward pass"

    def state(self, saved: Path, device: torch.device) -> AttributionState:
        if saved.exists():
            state = AttributionState.load(saved)
            if state.plan == self.plan:
                return state
        return AttributionState.empty(self.plan)


class AttributionEstimate(NamedTuple):
    """What `measure` found."""

    seconds: float
    tokens_per_second: float  # padding included
    state_mb: float


class _Found(NamedTuple):
    """What one batch says."""

    sums: _Sums
    n_scored: int


@dataclass(frozen=True)
class OpenAttributionPass:
    """The pass with its model loaded."""

    job: AttributionJob
    model: nn.Module
    mlps: Sequence[TappedMlp]
    head: LanguageModelHead
    reader: ContextReader
    opening: AttributionOpening

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")  # of the state

    def measure(self) -> AttributionEstimate:
        batch = self.batch(0).rows(slice(None, 1))
        seconds = 0.0
        for _ in range(2):  # what a first pass allocates is not timed
            started = time.perf_counter()
            self.found(batch)
            synchronise(self.job.device)
            seconds = time.perf_counter() - started
        per_slot = seconds / batch.tokens.numel()
        n_slots = sum(unit.n_slots for unit in self.job.units)
        return AttributionEstimate(per_slot * n_slots, 1 / per_slot, self.job.empty_state().mb)

    def read(self, state: AttributionState, units: Sequence[int]) -> Generator[str, None, None]:
        for unit in units:
            parts = list(in_parts(self.found, self.batch(unit)))
            for sums, n_scored in parts:
                for layer, of_layer in sums.items():
                    state.add(layer, *of_layer)
                state.n_scored += n_scored
            state.units.add(unit)
            if len(parts) > 1:
                state.halved[unit] = len(parts)
            yield cut_note(len(parts))

    def batch(self, unit: int) -> Batch:
        """The batch of a unit, on the device of the model."""
        return read_batch(self.reader, self.job.units[unit], self.job.rule).to(self.job.device)

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
    rows, next_tokens = _with_loss(batch)
    rows, next_tokens = rows.to(hidden.device), next_tokens.to(hidden.device)
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


def _with_loss(batch: Batch) -> tuple[Int64[Tensor, " p"], Int64[Tensor, " p"]]:
    """Flattened positions that have a loss, and their next tokens."""
    there = batch.counted.clone()
    there[:, :-1] &= batch.counted[:, 1:]
    there[:, -1] = False
    following = batch.tokens.roll(-1, 1)
    return there.flatten().nonzero()[:, 0], following[there]
