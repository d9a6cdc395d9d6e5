"""A pass as an order that any process can carry out: which model, over what, counting how."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int32
from numpy import ndarray

from catalog.ingest.activations.contexts import (
    ContextReader,
    CountingRule,
    SampledPositions,
    plan_units,
)
from catalog.ingest.activations.kernel import choose_kernel
from catalog.ingest.activations.model import load_model
from catalog.ingest.activations.run import ActivationPass
from catalog.ingest.activations.state import PassPlan
from catalog.ingest.neuron_vectors import NeuronVectors


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

    def open(self, reader: ContextReader) -> tuple[ActivationPass, dict[str, Any]]:
        """Load the model, ready to run the units over `reader`; and what to note about it."""
        dtype, device, weights = getattr(torch, self.dtype), self.device, self.weights
        loaded = load_model(weights.checkpoint, dtype, device)
        kernel = choose_kernel(
            self.n_tokens, weights.n_layers, weights.d_mlp, weights.family.mlp.fused, dtype, device
        )
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
        )
        units = plan_units(self.lengths, self.tokens_per_batch)
        work = ActivationPass(
            loaded.model, loaded.mlps, reader, units, self.samples, self.rule, kernel, plan
        )
        return work, {"attention_implementation": loaded.attention, "kernel": kernel.name}
