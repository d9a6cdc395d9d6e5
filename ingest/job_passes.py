"""Passes over contexts whose state is whole after each unit: their workers, and want of memory.

A job says what is computed; here is what every such pass does with one.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

import pyarrow as pa
import torch
from jaxtyping import Int32
from numpy import ndarray

from catalog.errors import EnvironmentFault, ran_out_of_memory
from catalog.ingest.activations.contexts import Batch, ContextReader, Unit
from catalog.ingest.activations.corpus_pass import HeldContexts, Share
from catalog.ingest.activations.model import gpus_needed, weight_bytes
from catalog.ingest.engines.engine import OpenPass, State, WorkerReady
from catalog.ingest.neuron_vectors import NeuronVectors

JobStateT = TypeVar("JobStateT", bound=State)
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
        return partial(JobWorker, self.job, self._share([0]))

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
