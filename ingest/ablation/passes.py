"""The pass of an ablation: one clean forward pass a batch, and one for every arm."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Float64
from numpy import ndarray
from torch import Tensor

from catalog.ingest.ablation.arms import Ablation, Arm
from catalog.ingest.ablation.effects import EffectPlan, EffectState
from catalog.ingest.ablation.intervening import LayerInputs, Replacement, replacing
from catalog.ingest.ablation.readout import (
    FinalNorm,
    LanguageModelHead,
    ScoredPositions,
    load_head,
    read_out,
    scored_positions,
)
from catalog.ingest.activations.contexts import (
    Batch,
    ContextReader,
    CountingRule,
    Unit,
    plan_units,
)
from catalog.ingest.activations.hooks import TappedExperts, TappedMlp
from catalog.ingest.activations.model import load_model
from catalog.ingest.activations.run import synchronise
from catalog.ingest.job_passes import JobOpening, OpenJobPass
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.within import told

TOKENS_PER_BATCH: Final = 2048
"""Part of what a unit is: few, for a unit takes a pass for every arm, and is what a kill loses."""


@dataclass(frozen=True)
class AblationJob:
    """Everything that decides a pass but the tokens themselves; it can be pickled."""

    weights: NeuronVectors
    device: torch.device
    dtype: str  # of the forward pass, as torch names it
    corpus: str  # digest
    lengths: ndarray  # of the contexts read, int32
    rule: CountingRule
    ablations: tuple[Ablation, ...]
    arms: tuple[Arm, ...]
    means: Mapping[int, Float[ndarray, " d_mlp"]]  # by layer, where a kind is mean
    flipped: Mapping[int, Bool[ndarray, " d_mlp"]]  # by layer, where there is a sign of post
    k: int
    tokens_per_batch: int = TOKENS_PER_BATCH

    @cached_property
    def units(self) -> list[Unit]:
        """The units of the contexts."""
        return plan_units(self.lengths, self.tokens_per_batch)

    @cached_property
    def plan(self) -> EffectPlan:
        """What the state must agree with."""
        return EffectPlan(
            model=self.weights.checkpoint.fingerprint,
            corpus=self.corpus,
            n_contexts=len(self.lengths),
            arms=self._digest(),
            n_arms=len(self.arms),
            n_ablations=len(self.ablations),
            k=self.k,
            tokens_per_batch=self.tokens_per_batch,
            dtype=self.dtype,
            device=self.device.type,
        )

    def empty_state(self) -> EffectState:
        return EffectState.empty(self.plan)

    def tables(self, state: EffectState, layer: int) -> dict[str, pa.Table]:
        return {}

    def replacement(self, arm: Arm) -> Replacement:
        """What an arm replaces."""
        ablation = self.ablations[arm.ablation]
        means = flipped = None
        if ablation.kind == "mean":
            means = {at: torch.from_numpy(self.means[at]) for at in arm.neurons}
        if ablation.post_sign is not None:
            flipped = {at: torch.from_numpy(self.flipped[at]) for at in arm.neurons}
        return Replacement(arm.neurons, means, ablation.gate_sign, ablation.post_sign, flipped)

    def open(self, reader: ContextReader) -> "OpenAblationPass":
        """Load the model and its head, ready to run the units over `reader`."""
        weights = self.weights
        dtype = getattr(torch, self.dtype)
        loaded = load_model(weights.checkpoint, dtype, self.device)
        head = load_head(
            weights.checkpoint, loaded.model, weights.unembedding_name, weights.embedding_name
        )
        inputs = LayerInputs(loaded.layers)
        norm = FinalNorm(loaded.model, weights.family)
        notes = {"attention_implementation": loaded.attention}
        starts = {arm.first_layer for arm in self.arms if arm.first_layer}
        batch = max(unit.n_slots for unit in self.units)
        streams = len(starts) * batch * weights.d_model * dtype.itemsize / 1e6
        said = f"{len(self.arms)} ablated passes beside the clean one"
        if starts:
            said += f"; streams before {len(starts)} layers take {streams:,.0f} MB"
        opening = JobOpening(EffectState, self.plan, said, notes)
        return OpenAblationPass(
            self, loaded.model, loaded.layers, reader, opening, head, norm, inputs
        )

    def _digest(self) -> str:
        hashed = hashlib.sha256()
        for arm in self.arms:
            ablation = self.ablations[arm.ablation]
            named = [ablation.id, ablation.kind, ablation.gate_sign, ablation.post_sign]
            hashed.update(json.dumps([*named, arm.baseline, arm.number]).encode())
            for layer, neurons in sorted(arm.neurons.items()):
                hashed.update(json.dumps([layer, neurons.tolist()]).encode())
        for arrays in (self.means, self.flipped):
            for layer, values in sorted(arrays.items()):
                hashed.update(f"{layer}".encode() + values.tobytes())
        return hashed.hexdigest()


class Estimate(NamedTuple):
    """What `measure` found; `ratio` is that of an ablated pass to the clean one."""

    seconds: float
    tokens_per_second: float  # of the corpus, padding included
    state_mb: float
    ratio: float


class _ArmEffects(NamedTuple):
    """Effects of every arm at the scored positions of one batch."""

    scored: ScoredPositions
    of_arms: list[Float64[ndarray, "metric p"]]


@dataclass(frozen=True)
class OpenAblationPass(OpenJobPass[EffectState, _ArmEffects]):
    """The pass with its model loaded."""

    job: AblationJob
    mlps: Sequence[TappedMlp | TappedExperts]
    head: LanguageModelHead
    norm: FinalNorm
    inputs: LayerInputs

    def measure(self) -> Estimate:
        """Time one context: its clean pass, then one with the first arm."""
        job = self.job
        batch = self.batch(0).rows(slice(None, 1))
        scored = scored_positions(batch)
        arm = next((arm for arm in job.arms if arm.neurons), job.arms[0])
        clean_s = arm_s = 0.0
        for _ in range(2):  # what a first pass allocates is not timed
            started = time.perf_counter()
            clean = self.clean(batch, scored, [arm])
            synchronise(job.device)
            clean_s = time.perf_counter() - started
            started = time.perf_counter()
            self.effects(batch, scored, clean, arm)
            synchronise(job.device)
            arm_s = time.perf_counter() - started
        per_slot = (clean_s + len(job.arms) * arm_s) / batch.tokens.numel()
        return Estimate(
            seconds=per_slot * sum(unit.n_slots for unit in job.units),
            tokens_per_second=1 / per_slot,
            state_mb=EffectState.empty(job.plan).mb,
            ratio=arm_s / clean_s,
        )

    def take_in(self, state: EffectState, found: _ArmEffects) -> None:
        scored = found.scored
        has_next = (scored.next_tokens >= 0).cpu().numpy()
        state.n_positions += len(scored.contexts)
        for at, (arm, effects) in enumerate(zip(self.job.arms, found.of_arms, strict=True)):
            ablation = arm.ablation if arm.baseline == "none" else None
            state.add(at, effects, scored.contexts, scored.positions, has_next, ablation)

    def found(self, batch: Batch) -> _ArmEffects:
        """The effects of every arm in a batch."""
        scored = scored_positions(batch)
        clean = self.clean(batch, scored, self.job.arms)
        order = sorted(range(len(self.job.arms)), key=self._start)
        of_arms: dict[int, Float64[ndarray, "metric p"]] = {}
        for at in told(order, len(order)):
            self.inputs.forget(before=self._start(at))
            of_arms[at] = self.effects(batch, scored, clean, self.job.arms[at])
        return _ArmEffects(scored, [of_arms[at] for at in range(len(order))])

    def _start(self, at: int) -> int:
        first = self.job.arms[at].first_layer
        return self.job.weights.n_layers if first is None else first

    def clean(
        self, batch: Batch, scored: ScoredPositions, arms: Sequence[Arm]
    ) -> Float[Tensor, "metric p"]:
        """Metrics of the clean pass, which leaves the streams that the arms start from."""
        starts = {arm.first_layer for arm in arms if arm.first_layer is not None}
        with torch.inference_mode(), self.inputs.kept_before(starts):
            return self.metrics(batch, scored)

    def effects(
        self, batch: Batch, scored: ScoredPositions, clean: Float[Tensor, "metric p"], arm: Arm
    ) -> Float64[ndarray, "metric p"]:
        """Ablated minus clean, float64; 0 for a draw that found no neuron."""
        first = arm.first_layer
        if first is None:
            return np.where(clean.isnan().cpu().numpy(), np.nan, 0.0)
        replaced = replacing(self.mlps, self.job.replacement(arm), batch.counted)
        with torch.inference_mode(), self.inputs.started_at(first), replaced:
            ablated = self.metrics(batch, scored)
        difference: Float64[ndarray, "metric p"] = (ablated.double() - clean.double()).cpu().numpy()
        return difference

    def metrics(self, batch: Batch, scored: ScoredPositions) -> Float[Tensor, "metric p"]:
        """Metrics of a pass as the model's hooks are now."""
        with self.norm.watched():
            output = self.model(
                input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False
            )
        hidden = output.last_hidden_state.flatten(0, 1)
        rows = scored.rows.to(hidden.device)
        log_scale = self.norm.log_scale(rows, hidden.device)
        return read_out(self.head, hidden[rows], scored.next_tokens.to(hidden.device), log_scale)
