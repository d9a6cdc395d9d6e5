"""What every stage is to the driver: a name, its parameters, and rows staged by layer."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import torch

from catalog.ingest.engines.engine import Engine
from catalog.ingest.progress import Progress
from catalog.store.handle import Handle
from catalog.store.staging import Staging


class Stage(Protocol):
    """A stage bound to one entry, ready to compute."""

    name: ClassVar[str]
    bulk_tables: ClassVar[tuple[str, ...]]
    device: torch.device
    dtype: str

    @property
    def corpus_id(self) -> int | None:
        """The corpus that the rows are about; None where they are about weights alone."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What was asked for and what the rows depend on, beside the checkpoint; JSON values."""
        ...

    def compute(self, staging: Staging, engine: Engine, progress: Progress) -> Mapping[str, Any]:
        """Stage the rows of every layer that is not staged yet, computed by `engine`.

        Returns:
            Counts worth keeping with the run (JSON values).
        """
        ...

    def load_references(self, catalog: Handle, model_id: int) -> None:
        """Load what the rows refer to (vocabulary, contexts), before the first of them."""
        ...
