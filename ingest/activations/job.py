"""A pass as an order that any process can carry out: which model, over what, counting how."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Int32
from numpy import ndarray

from catalog.ingest.activations.contexts import (
    ContextReader,
    CountingRule,
    SampledPositions,
    Unit,
    plan_units,
)
from catalog.ingest.activations.kernel import choose_kernel
from catalog.ingest.activations.model import load_model
from catalog.ingest.activations.run import ActivationPass, Estimate, measure, read_units
from catalog.ingest.activations.state import ActivationState, PassPlan
from catalog.ingest.neuron_vectors import NeuronVectors


class PassOpening(NamedTuple):
    """What was found when the model was loaded."""

    plan: PassPlan
    description: str
    notes: dict[str, Any]

    def state(self, saved: Path, device: torch.device) -> ActivationState:
        if saved.exists():
            state = ActivationState.load(saved, device)
            if state.plan == self.plan:
                return state
        return ActivationState.empty(self.plan, device)


@dataclass(frozen=True)
class PassJob:
    """Everything that decides a pass but the tokens themselves; it can be pickled."""

    weights: NeuronVectors
    device: torch.device
    dtype: str  # of the forward pass, as torch names it
    k: int  # exemplars per neuron and sign case
    tokens_per_batch: int
    seed: int  # of the samples
    corpus: str  # digest
    n_tokens: int
    lengths: Int32[ndarray, " n_contexts"]
    special_tokens: str  # 'excluded' or 'counted'
    rule: CountingRule
    samples: SampledPositions

    @cached_property
    def units(self) -> list[Unit]:
        """The units of the corpus."""
        return plan_units(self.lengths, self.tokens_per_batch)

    def open(self, reader: ContextReader) -> "OpenActivationPass":
        """Load the model, ready to run the units over `reader`."""
        dtype, device, weights = getattr(torch, self.dtype), self.device, self.weights
        loaded = load_model(weights.checkpoint, dtype, device)
        sizes = weights.sizes
        kernel = choose_kernel(self.n_tokens, sizes, weights.family.mlp, dtype, device)
        plan = PassPlan(
            model=weights.checkpoint.fingerprint,
            corpus=self.corpus,
            n_layers=weights.n_layers,
            d_mlp=weights.d_mlp,
            k=self.k,
            n_samples=len(self.samples.positions),
            tokens_per_batch=self.tokens_per_batch,
            seed=self.seed,
            special_tokens=self.special_tokens,
            dtype=self.dtype,
            device=device.type,
            kernel=kernel.name,
            gated=weights.family.mlp.gated,
            n_experts=sizes.n_experts,
            d_expert=sizes.d_expert,
            d_shared=sizes.d_shared,
            d_dense=sizes.d_dense if sizes.n_experts else 0,
            dense_layers=tuple(sizes.dense_layers),
        )
        work = ActivationPass(
            loaded.model, loaded.layers, reader, self.units, self.samples, self.rule, kernel, plan
        )
        notes = {"attention_implementation": loaded.attention, "kernel": kernel.name}
        description = f"{kernel.name} reading of the sign cases ({kernel.reason})"
        return OpenActivationPass(work, PassOpening(plan, description, notes))


class OpenActivationPass(NamedTuple):
    """The pass with its model loaded."""

    work: ActivationPass
    opening: PassOpening

    @property
    def device(self) -> torch.device:
        return self.work.device

    def measure(self) -> Estimate:
        return measure(self.work)

    def read(self, state: ActivationState, units: Sequence[int]) -> Generator[str, None, None]:
        for done in read_units(self.work, state, units):
            n = done.n_parts
            yield f"a batch did not fit in memory and was cut into {n}" if n > 1 else ""
