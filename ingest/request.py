"""What an ingest is asked for, and what it answers. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog.ingest.corpus.spec import CorpusSpec
from catalog.ingest.engines.choosing import EngineChoice
from catalog.stages import default_stages
from catalog.store.handle import Handle
from catalog.taxonomy import WeightKind


@dataclass(frozen=True)
class SeriesPlace:
    """Where a checkpoint stands in a training run; `last_step` is that of the steps asked for."""

    series: str
    step: int
    train_tokens: int | None
    last_step: int

    @property
    def alias(self) -> str:
        """The name of its entry."""
        return f"{self.series}@{self.step}"


@dataclass(frozen=True)
class IngestRequest:
    """What to ingest, and how; defaults are those of the command line.

    A checkpoint of a training run has its `place` there, and no alias of its own.
    """

    catalog: Handle
    source: str
    alias: str | None = None
    revision: str | None = None
    file: str | None = None
    tokenizer: Path | None = None
    weights: WeightKind = "folded"
    stages: Sequence[str] = default_stages(with_corpus=False)
    top_tokens: int = 16
    exemplars: int = 16
    corpus: CorpusSpec | None = None
    corpus_name: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    engine: EngineChoice = field(default_factory=EngineChoice)
    checkpoint_every_s: float = 180.0
    force: bool = False
    place: SeriesPlace | None = None


@dataclass(frozen=True)
class StageOutcome:
    """What became of a stage: `status` is 'finished', 'resumed' or 'unchanged'."""

    stage: str
    status: str
    seconds: float
    notes: dict[str, Any]


@dataclass(frozen=True)
class IngestOutcome:
    """What one `catalog ingest` of one model did."""

    alias: str
    outcomes: tuple[StageOutcome, ...]
