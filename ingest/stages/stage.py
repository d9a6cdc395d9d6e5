"""What every stage is to the driver: parameters, and rows staged by layer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import pyarrow as pa
import torch

from catalog.ingest.corpora import EnteredCorpus
from catalog.ingest.engines.engine import Engine
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Progress
from catalog.store.handle import Handle
from catalog.store.staging import Staging

LayerRows: TypeAlias = Mapping[str, pa.Table]
"""Rows of one layer by table."""


@dataclass(frozen=True)
class StageContext:
    """What stages are built from."""

    weights: NeuronVectors
    device: torch.device
    top_tokens: int
    catalog: Handle
    alias: str
    exemplars: int
    dtype: str  # of a forward pass
    checkpoint_every_s: float
    corpus: EnteredCorpus | None


class Runnable(ABC):
    """What leaves a run in the catalog, bound to one entry and ready to compute.

    `name` is that of its declaration in `catalog.stages`; tables name the stages that fill them.
    `corpus_id` is the corpus that the rows are about, if they are. `subject` tells several results
    on one corpus apart. Rows are staged in parts: by layer, or `n_parts` of them.
    """

    name: ClassVar[str]
    device: torch.device
    dtype: str = "float32"
    corpus_id: int | None = None
    subject: str | None = None
    n_parts: int | None = None

    @property
    def title(self) -> str:
        """What to call it in messages."""
        return self.name

    @property
    @abstractmethod
    def parameters(self) -> Mapping[str, Any]:
        """What was asked for and what the rows depend on, beside the checkpoint; JSON values."""

    @abstractmethod
    def compute(self, staging: Staging, engine: Engine, progress: Progress) -> Mapping[str, Any]:
        """Stage the rows of every layer that is not staged yet, computed by `engine`.

        Returns:
            Counts worth keeping with the run (JSON values).
        """

    @property
    def n_bytes(self) -> int:
        """What the rows take in a catalog as it grows, about (docs/scale.md)."""
        return 0

    def load_references(self, catalog: Handle, model_id: int) -> None:
        """Load what the rows refer to (vocabulary, contexts), before the first of them."""
        return


class Stage(Runnable):
    """A stage of an ingest; `name` is also that of its file."""

    @classmethod
    @abstractmethod
    def of(cls, context: StageContext) -> Self:
        """The stage for the entry of `context`.

        Raises UsageError if something that it needs was not given.
        """


class LayerUnit(NamedTuple):
    """A unit of work that needs no other: one layer, or one layer in one basis."""

    layer: int
    basis: str = ""


class Layerwise(Runnable):
    """What is computed in units that are independent of each other: an engine maps them."""

    @abstractmethod
    def units(self) -> Sequence[LayerUnit]:
        """All units, in the order in which to start them."""

    @abstractmethod
    def unit_tables(self, unit: LayerUnit) -> Sequence[str]:
        """The tables of which a unit has rows."""

    @abstractmethod
    def compute_unit(self, unit: LayerUnit) -> LayerRows:
        """The rows of one unit."""

    @abstractmethod
    def notes(self, staging: Staging) -> Mapping[str, Any]:
        """Counts worth keeping with the run, once all units are staged."""

    def compute(self, staging: Staging, engine: Engine, progress: Progress) -> Mapping[str, Any]:
        units = self.units()
        todo = [
            unit
            for unit in units
            if not all(
                staging.has(unit.layer, table, unit.basis) for table in self.unit_tables(unit)
            )
        ]
        progress.begin(self.title, len(units), len(units) - len(todo))
        for unit, tables in engine.map(self, todo):
            for table, rows in tables.items():
                staging.write(unit.layer, table, rows, unit.basis)
            progress.advance()
        progress.end()
        return self.notes(staging)


class LayerwiseStage(Layerwise, Stage):
    """A stage of an ingest that is computed so."""
