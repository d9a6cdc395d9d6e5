"""What every engine is to the stages."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import torch

from catalog.ingest.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.ingest.activations.job import PassJob
    from catalog.ingest.activations.state import ActivationState
    from catalog.ingest.corpus import TokenisedCorpus


class Part(NamedTuple):
    """A part of a stage that needs no other: one layer, or one layer in one basis."""

    layer: int
    name: str = ""


PartRows: TypeAlias = "Mapping[str, pa.Table]"
"""Rows of a part by table."""


class PartsStage(Protocol):
    """A stage whose parts can be computed anywhere; it is pickled to go there."""

    device: torch.device

    def part_rows(self, part: Part) -> PartRows:
        """Compute one part."""
        ...


class FinishedPass(NamedTuple):
    """The state that holds all units of a corpus, and what is worth keeping with the run."""

    state: "ActivationState"
    notes: dict[str, Any]


class Engine(Protocol):
    """Computes parts and passes; the rows are the same whichever engine did it."""

    def device(self, asked: str) -> torch.device:
        """The device that workers compute on, for 'auto', 'cpu' or 'cuda'.

        Raises EnvironmentFault where there is none of that kind.
        """
        ...

    def parts(self, stage: PartsStage, parts: Iterable[Part]) -> Iterator[tuple[Part, PartRows]]:
        """Compute parts of a stage; they come in any order."""
        ...

    def run_pass(
        self,
        job: "PassJob",
        corpus: "TokenisedCorpus",
        saved: Path,
        checkpoint_every_s: float,
        progress: Progress,
    ) -> FinishedPass:
        """Take the whole corpus through the model, carrying on from `saved` if it fits the job.

        Raises Declined if the user does not want to wait that long.
        """
        ...
