"""Passes over contexts whose state is whole after each unit: their workers, and want of memory.

A job says what is computed; here is what every such pass does with one.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import pyarrow as pa
import torch
from jaxtyping import Int32
from numpy import ndarray
from torch import nn

from catalog.errors import EnvironmentFault, ran_out_of_memory
from catalog.ingest.activations.contexts import (
    Batch,
    ContextReader,
    CountingRule,
    Unit,
    plan_units,
    read_batch,
)
from catalog.ingest.activations.corpus_pass import HeldContexts, Share
from catalog.ingest.activations.hooks import TappedExperts, TappedMlp
from catalog.ingest.activations.model import gpus_needed, weight_bytes
from catalog.ingest.activations.run import synchronise
from catalog.ingest.engines.engine import Estimate, OpenPass, State, WorkerReady
from catalog.ingest.neuron_vectors import NeuronVectors


class CutState(State, Protocol):
    """A state that knows into how many parts it cut units that did not fit in memory."""

    halved: dict[int, int]


class JobState(CutState, Protocol):
    """A state on the host that says what it is of: two of equal `plan` can be merged."""

    @property
    def plan(self) -> Any: ...

    @property
    def mb(self) -> float:
        """Its size in MB (1e6 bytes)."""
        ...

    @classmethod
    def empty(cls, plan: Any) -> Self:
        """A state that holds no unit."""
        ...

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote; raises EnvironmentFault if it is damaged."""
        ...


JobStateT = TypeVar("JobStateT", bound=JobState)
FoundT = TypeVar("FoundT")


class Job(Protocol[JobStateT]):
    """Everything that decides a pass but the tokens themselves; it can be pickled."""

    @property
    def weights(self) -> NeuronVectors: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> str:
        """Of the forward pass, as torch names it."""
        ...

    @property
    def rule(self) -> CountingRule: ...

    @property
    def lengths(self) -> Int32[ndarray, " n_contexts"]: ...

    @property
    def units(self) -> Sequence[Unit]: ...

    def empty_state(self) -> JobStateT:
        """A state that holds no unit, on the host."""
        ...

    def open(self, reader: ContextReader) -> OpenPass[JobStateT]:
        """Load the model, ready to run the units over `reader`."""
        ...

    def tables(self, state: JobStateT, layer: int) -> Mapping[str, pa.Table]:
        """Rows of one layer by table, of a state that holds all units."""
        ...


@dataclass(frozen=True)
class CorpusPlan:
    """All that decides the result of a pass over a corpus.

    States merge and resume only if every field agrees.
    """

    model: str  # fingerprint of the checkpoint
    corpus: str  # digest of the corpus as tokenised
    n_layers: int
    d_mlp: int
    tokens_per_batch: int
    dtype: str  # of the forward pass, as torch names it
    device: str  # kind of device, 'cpu' or 'cuda'


@dataclass(frozen=True)
class CorpusJob:
    """What jobs over a whole corpus have in common."""

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
    def plan(self) -> CorpusPlan:
        """What the state must agree with."""
        return CorpusPlan(
            model=self.weights.checkpoint.fingerprint,
            corpus=self.corpus,
            n_layers=self.weights.n_layers,
            d_mlp=self.weights.d_mlp,
            tokens_per_batch=self.tokens_per_batch,
            dtype=self.dtype,
            device=self.device.type,
        )


@dataclass(frozen=True)
class JobOpening(Generic[JobStateT]):
    """What was found when the model of a job was loaded."""

    kind: type[JobStateT]
    plan: Any
    description: str
    notes: Mapping[str, Any]

    def state(self, saved: Path, device: torch.device) -> JobStateT:
        if saved.exists():
            state = self.kind.load(saved)
            if state.plan == self.plan:
                return state
        return self.kind.empty(self.plan)


class JobEstimate(NamedTuple):
    """What `measure` found."""

    seconds: float  # expected for all units
    tokens_per_second: float  # padding included
    state_mb: float


@dataclass(frozen=True)
class OpenJobPass(ABC, Generic[JobStateT, FoundT]):
    """A job with its model loaded; what is found in a batch comes into the state when all is."""

    job: Job[JobStateT]
    model: nn.Module
    mlps: Sequence[TappedMlp | TappedExperts]
    reader: ContextReader
    opening: JobOpening[JobStateT]

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")  # of the state

    def measure(self) -> Estimate:
        """Time one context, if there is any to read."""
        if not self.job.units:
            return JobEstimate(0.0, 0.0, self.job.empty_state().mb)
        batch = self.batch(0).rows(slice(None, 1))
        seconds = 0.0
        for _ in range(2):  # what a first pass allocates is not timed
            started = time.perf_counter()
            self.found(batch)
            synchronise(self.job.device)
            seconds = time.perf_counter() - started
        per_slot = seconds / batch.tokens.numel()
        n_slots = sum(unit.n_slots for unit in self.job.units)
        return JobEstimate(per_slot * n_slots, 1 / per_slot, self.job.empty_state().mb)

    @abstractmethod
    def found(self, batch: Batch) -> FoundT:
        """What one batch says."""

    @abstractmethod
    def take_in(self, state: JobStateT, found: FoundT) -> None:
        """Bring it into the state."""

    def batch(self, unit: int) -> Batch:
        """The batch of a unit, on the device of the model."""
        return read_batch(self.reader, self.job.units[unit], self.job.rule).to(self.job.device)

    def read(self, state: JobStateT, units: Sequence[int]) -> Generator[str, None, None]:
        for unit in units:
            # Taken in when all parts are found: what comes before an error is of no use.
            parts = list(in_parts(self.found, self.batch(unit)))
            for found in parts:
                self.take_in(state, found)
            state.units.add(unit)
            if len(parts) > 1:
                state.halved[unit] = len(parts)
            yield cut_note(len(parts))


@dataclass(frozen=True)
class JobPass(Generic[JobStateT]):
    """A job and its contexts, as `engines.engine.Pass` describes it."""

    job: Job[JobStateT]
    reader: ContextReader
    name: str

    @property
    def device(self) -> torch.device:
        return self.job.device

    @property
    def n_units(self) -> int:
        return len(self.job.units)

    def open(self) -> OpenPass[JobStateT]:
        return self.job.open(self.reader)

    def worker(self) -> "Callable[[], JobWorker[JobStateT]]":
        return partial(JobWorker, self.job, self._share(range(self.n_units)[:1]))

    def share(self, units: Sequence[int], state: JobStateT) -> Share:
        return self._share(units)

    def gpus_each(self, gpu_bytes: int) -> int:
        dtype = getattr(torch, self.job.dtype)
        return gpus_needed(weight_bytes(self.job.weights.checkpoint, dtype), gpu_bytes)

    def tables(self, state: JobStateT, layer: int) -> Mapping[str, pa.Table]:
        return self.job.tables(state, layer)

    def _share(self, units: Sequence[int]) -> Share:
        ids = [i for unit in units for i in self.job.units[unit].context_ids.tolist()]
        tokens = dict(zip(ids, self.reader.tokens(ids), strict=True))
        return Share(list(units), tokens, None)


class JobWorker(Generic[JobStateT]):
    """A replica of the model, which is given shares of the units; `first` is to measure with."""

    def __init__(self, job: Job[JobStateT], first: Share) -> None:
        self._job = job
        self._contexts = HeldContexts(job.lengths, first.tokens)
        self._work = job.open(self._contexts)
        self.ready = WorkerReady(self._work.opening, self._work.measure())

    def compute(self, task: Share) -> JobStateT:
        self._contexts.held = task.tokens
        state = self._job.empty_state()
        for _ in self._work.read(state, task.units):
            pass
        return state


def in_parts(compute: Callable[[Batch], FoundT], batch: Batch) -> Generator[FoundT, None, None]:
    """What is found in a batch, in halves where memory runs out.

    Raises EnvironmentFault where not even one context fits.
    """
    try:
        found = compute(batch)
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        if len(batch.context_ids) == 1:
            raise EnvironmentFault(
                f"One context of {batch.tokens.shape[1]} tokens does not fit in memory."
            ) from error
    else:
        yield found
        return
    if batch.tokens.device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(batch.context_ids) // 2
    yield from in_parts(compute, batch.rows(slice(None, half)))
    yield from in_parts(compute, batch.rows(slice(half, None)))


def cut_note(n_parts: int) -> str:
    """What to say of a unit that was taken in parts."""
    return f"a batch did not fit in memory and was cut into {n_parts}" if n_parts > 1 else ""
