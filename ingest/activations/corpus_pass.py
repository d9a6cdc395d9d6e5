"""The pass of the stage `activations`, and the workers that it has elsewhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import pyarrow as pa
import torch
from jaxtyping import Int, Int32
from numpy import ndarray
from torch import Tensor

from catalog.ingest.activations.job import OpenActivationPass, PassJob
from catalog.ingest.activations.model import gpus_needed, weight_bytes
from catalog.ingest.activations.run import measure, read_units
from catalog.ingest.activations.state import ActivationState
from catalog.ingest.activations.tables import (
    exemplar_table,
    sample_position_table,
    sample_table,
    stat_table,
)
from catalog.ingest.corpus import TokenisedCorpus
from catalog.ingest.engines.engine import WorkerReady


@dataclass(frozen=True)
class CorpusPass:
    """A job and its corpus, as `engines.engine.Pass` describes it."""

    job: PassJob
    corpus: TokenisedCorpus
    name: ClassVar[str] = "activations"

    @property
    def device(self) -> torch.device:
        return self.job.device

    @property
    def n_units(self) -> int:
        return len(self.job.units)

    def open(self) -> OpenActivationPass:
        return self.job.open(self.corpus)

    def worker(self) -> "Callable[[], PassWorker]":
        return partial(PassWorker, self.job, self._share([0], None))

    def share(self, units: Sequence[int], state: ActivationState) -> "Share":
        return self._share(units, state.key[..., -1].clone())

    def gpus_each(self, gpu_bytes: int) -> int:
        dtype = getattr(torch, self.job.dtype)
        return gpus_needed(weight_bytes(self.job.weights.checkpoint, dtype), gpu_bytes)

    def tables(self, state: ActivationState, layer: int) -> dict[str, pa.Table]:
        # Positions are those of all layers and stand with the first.
        positions = sample_position_table(self.job.samples)
        return {
            "activation_stat": stat_table(state, layer),
            "exemplar": exemplar_table(state, layer, self.corpus),
            "activation_sample": sample_table(state, layer),
            "sample_position": positions if layer == 0 else positions[:0],
        }

    def _share(self, units: Sequence[int], least: Int[Tensor, "l case n"] | None) -> "Share":
        ids = [i for unit in units for i in self.job.units[unit].context_ids.tolist()]
        tokens = dict(zip(ids, self.corpus.tokens(ids), strict=True))
        return Share(list(units), tokens, least)


class Share(NamedTuple):
    """Units for one worker, with their tokens.

    `least`: rank keys that a context must exceed to be of interest, None for all contexts.
    """

    units: list[int]
    tokens: Mapping[int, Int32[ndarray, " length"]]  # by context id
    least: Int[Tensor, "l case n"] | None


class PassWorker:
    """A replica of the model, to which shares of the units are given; `first` is to measure with.

    A share's state starts empty and is handed over when it is done, so a worker that dies takes
    one share with it.
    """

    def __init__(self, job: PassJob, first: Share) -> None:
        self.contexts = HeldContexts(job.lengths, first.tokens)
        self.work, opening = job.open(self.contexts)
        self.ready = WorkerReady(opening, measure(self.work, first.units[0]))

    def compute(self, task: Share) -> ActivationState:
        self.contexts.held = task.tokens
        device = self.work.device
        state = ActivationState.empty(self.work.plan, device)
        least = None if task.least is None else task.least.to(device)
        for _ in read_units(self.work, state, task.units, least):
            pass
        return state.to(torch.device("cpu"))


class HeldContexts:
    """A ContextReader that has the tokens of some contexts, but the lengths of all."""

    def __init__(
        self, lengths: Int32[ndarray, " n"], held: Mapping[int, Int32[ndarray, " length"]]
    ) -> None:
        self.lengths = lengths
        self.held = held

    def tokens(self, context_ids: Iterable[int]) -> list[Int32[ndarray, " length"]]:
        return [self.held[context_id] for context_id in context_ids]
