"""What a worker of a cluster holds and does; none of this knows of Ray."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Int, Int32
from numpy import ndarray
from torch import Tensor

from catalog.ingest.activations.job import PassJob
from catalog.ingest.activations.run import Estimate, measure, run_units
from catalog.ingest.activations.state import ActivationState, PassPlan
from catalog.ingest.engines.engine import Part, PartRows, PartsStage


class Worker(Protocol):
    """Made where it works; `ready` is what it found out in being made."""

    @property
    def ready(self) -> Any: ...

    def compute(self, task: Any) -> Any:
        """The result of one task; the same on every worker."""
        ...


class PartsWorker:
    """Computes parts of a stage."""

    ready = None

    def __init__(self, stage: PartsStage) -> None:
        self.stage = stage

    def compute(self, task: Part) -> PartRows:
        return self.stage.part_rows(task)


class Share(NamedTuple):
    """Units for one worker, with their tokens.

    `least`: rank keys that a context must exceed to be of interest, None for all contexts.
    """

    units: list[int]
    tokens: Mapping[int, Int32[ndarray, " length"]]  # by context id
    least: Int[Tensor, "l case n"] | None


class StartedPass(NamedTuple):
    """What a worker that has loaded its model can say."""

    plan: PassPlan
    notes: dict[str, Any]
    estimate: Estimate


class PassWorker:
    """A replica of the model, to which shares of the units are given; `first` is to measure with.

    A share's state starts empty and is handed over when it is done, so a worker that dies takes
    one share with it.
    """

    def __init__(self, job: PassJob, first: Share) -> None:
        self.contexts = HeldContexts(job.lengths, first.tokens)
        self.work, notes = job.open(self.contexts)
        self.ready = StartedPass(self.work.plan, notes, measure(self.work, first.units[0]))

    def compute(self, task: Share) -> ActivationState:
        self.contexts.held = task.tokens
        device = self.work.device
        state = ActivationState.empty(self.work.plan, device)
        least = None if task.least is None else task.least.to(device)
        run_units(self.work, state, only=task.units, least=least)
        return state.to(torch.device("cpu"))


class HeldContexts:
    """A ContextReader that has the tokens of some contexts, but the lengths of all."""

    def __init__(
        self, lengths: Int32[ndarray, " n"], held: Mapping[int, Int32[ndarray, " length"]]
    ) -> None:
        self.lengths = lengths
        self.held = held

    @property
    def next_token_ids(self) -> Int32[ndarray, " n"]:
        """Not known here: exemplars become rows where the corpus is."""
        raise NotImplementedError

    def tokens(self, context_ids: Iterable[int]) -> list[Int32[ndarray, " length"]]:
        return [self.held[context_id] for context_id in context_ids]
