"""How far the neurons of a training run turned between two of its steps, from both checkpoints.

docs/definitions.md, "Drift".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from catalog.errors import CheckpointError, EnvironmentFault
from catalog.ingest.checkpoint.ingested import checkpoint_of
from catalog.ingest.entry import as_entered
from catalog.ingest.geometry import between
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.running import EntryRuns
from catalog.ingest.stages.stage import LayerRows, LayerUnit, Layerwise
from catalog.ingest.within import told
from catalog.queries.neuron_record import read_entry
from catalog.stages import DRIFT
from catalog.store.series import StepEntry, steps_of
from catalog.store.staging import Staging
from catalog.store.writing import finished_run
from catalog.taxonomy import VECTORS


class Drift(Layerwise):
    """Cosine of each vector of a neuron with the same vector at an earlier step."""

    name = DRIFT.name

    def __init__(
        self, later: NeuronVectors, earlier: NeuronVectors, step: int, device: torch.device
    ) -> None:
        """`step` is that of the earlier one."""
        self.later = later
        self.earlier = earlier
        self.device = device
        self.step = step
        self.subject = str(step)

    @property
    def title(self) -> str:
        return f"{self.name} from step {self.step}"

    @property
    def parameters(self) -> Mapping[str, Any]:
        fingerprint = self.earlier.checkpoint.fingerprint
        return {"weights": self.later.kind, "from": self.step, "fingerprint": fingerprint}

    @property
    def n_bytes(self) -> int:
        return 13 * self.later.sizes.n_neurons

    def units(self) -> Sequence[LayerUnit]:
        return [LayerUnit(layer) for layer in range(self.later.n_layers)]

    def unit_tables(self, unit: LayerUnit) -> Sequence[str]:
        return (DRIFT.name,)

    def compute_unit(self, unit: LayerUnit) -> LayerRows:
        return {DRIFT.name: self.layer_rows(unit.layer)}

    def notes(self, staging: Staging) -> Mapping[str, Any]:
        return {}

    def layer_rows(self, layer: int) -> pa.Table:
        """Rows of one layer; NULL for a vector that is zero or not finite in either checkpoint."""
        blocks = (
            between(block, before)
            for (_, block), (_, before) in zip(
                self.later.blocks(layer, self.device),
                self.earlier.blocks(layer, self.device),
                strict=True,
            )
        )
        found = torch.cat(list(told(blocks, self.later.n_blocks(layer)))).cpu().numpy()
        columns = dict(zip(self.later.vectors, found.T, strict=True))
        missing = np.full(len(found), np.nan, np.float32)
        return pa.table(
            {
                "layer": pa.array(np.full(len(found), layer, np.int16)),
                "neuron": pa.array(np.arange(len(found), dtype=np.int32)),
            }
            | {
                f"cos_{vector}": pa.array(values, pa.float32(), mask=~np.isfinite(values))
                for vector in VECTORS
                for values in [columns.get(vector, missing)]
            }
        )


@dataclass(frozen=True)
class SeriesDrift:
    """The comparisons that are due once a step is in the catalog."""

    runs: EntryRuns
    weights: NeuronVectors
    device: torch.device

    def run(self, last_step: int, *, redo: bool) -> None:
        """Compare the entry with the step before, the next with it, and the last with each.

        The last is that of the catalog, once `last_step`, the last that is asked for, is no later
        one. What cannot be had any more is left
        out, which is said. `redo`: also what is there is computed anew, for this entry as the
        later one.
        """
        own, catalog = self.runs.entry, self.runs.catalog
        with catalog.tables("") as connection:
            steps = steps_of(connection, own.series or "")
        at = [each.alias for each in steps].index(own.alias)
        for later, earlier in pairs(steps, at, last_step):
            both = self._opened(later), self._opened(earlier)
            if both[0] is None or both[1] is None:
                continue
            entry = as_entered(read_entry(catalog, later.alias))
            runs = EntryRuns(catalog, later.model_id, entry, self.runs.engine, self.runs.progress)
            drift = Drift(both[0], both[1], earlier.step, self.device)
            if (redo and later.alias == own.alias) or _is_due(runs, drift):
                runs.run(drift, redo=True)

    def _opened(self, step: StepEntry) -> NeuronVectors | None:
        if step.alias == self.runs.entry.alias:
            return self.weights
        entry = read_entry(self.runs.catalog, step.alias)
        try:
            return NeuronVectors(checkpoint_of(entry, may_download=False), entry.weights)
        except (CheckpointError, EnvironmentFault) as error:
            self.runs.progress.note(
                f"{self.runs.entry.alias}: no drift between it and {step.alias}, for {error.said}"
            )
            return None


def _is_due(runs: EntryRuns, drift: Drift) -> bool:
    """Whether it is not there, or is from another checkpoint or by an older version."""
    if runs.is_to_come(drift, redo=False):
        return True
    with runs.catalog.tables("") as connection:
        there = finished_run(connection, runs.model_id, drift.name, None, drift.subject)
    return there is not None and (
        there.parameters != drift.parameters or there.stage_version < DRIFT.version
    )


def pairs(
    steps: Sequence[StepEntry], at: int, last_step: int
) -> Iterator[tuple[StepEntry, StepEntry]]:
    """(later, earlier): what a step that came is to be compared with, each pair once.

    With all goes the last of `steps`, unless a later one, `last_step`, is to come.
    """
    step, last = steps[at], steps[-1]
    is_whole = last.step >= last_step
    if step is last:
        yield from (
            (step, each) for each in (steps[:at] if is_whole else steps[max(0, at - 1) : at])
        )
        return
    if at > 0:
        yield step, steps[at - 1]
    yield steps[at + 1], step
    if is_whole and last is not steps[at + 1]:
        yield last, step
