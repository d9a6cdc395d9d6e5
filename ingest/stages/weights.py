"""Stage `weights`: the three cosines and the three norms of every neuron."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from catalog.ingest.engines.engine import Engine, Part, PartRows
from catalog.ingest.gated_weights import GatedWeights
from catalog.ingest.geometry import cosines, gram, norms
from catalog.ingest.progress import Progress
from catalog.ingest.stages.parts import stage_parts
from catalog.store.staging import Staging
from catalog.taxonomy import StageName

COLUMNS = ("cos_gate_in", "cos_gate_out", "cos_in_out", "norm_gate", "norm_in", "norm_out")


class WeightsStage:
    """Reads each layer once, in blocks of neurons (DESIGN section 1, "Weight cosines")."""

    name: ClassVar[StageName] = "weights"
    bulk_tables: ClassVar[tuple[str, ...]] = ("neuron",)
    corpus_id = None

    def __init__(self, weights: GatedWeights, device: torch.device) -> None:
        self.weights = weights
        self.device = device
        self.dtype = "float32"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"weights": self.weights.kind}

    def compute(self, staging: Staging, engine: Engine, progress: Progress) -> Mapping[str, Any]:
        layers = range(self.weights.n_layers)
        stage_parts(self, [Part(layer) for layer in layers], staging, engine, progress)
        return {"null_neurons": sum(_n_null(staging.read(layer, "neuron")) for layer in layers)}

    def part_tables(self, part: Part) -> Sequence[str]:
        return ("neuron",)

    def part_rows(self, part: Part) -> PartRows:
        return {"neuron": self.layer_rows(part.layer)}

    def layer_rows(self, layer: int) -> pa.Table:
        """Rows of one layer: layer, neuron and `COLUMNS`; NULL for a zero or non-finite vector."""
        grams = torch.cat([gram(block) for _, block in self.weights.blocks(layer, self.device)])
        values = torch.cat([cosines(grams), norms(grams)], dim=1).cpu().numpy()  # [d_mlp, 6]
        columns = {
            name: pa.array(values[:, at], pa.float32(), mask=~np.isfinite(values[:, at]))
            for at, name in enumerate(COLUMNS)
        }
        return pa.table(
            {
                "layer": pa.array(np.full(len(values), layer, np.int16)),
                "neuron": pa.array(np.arange(len(values), dtype=np.int32)),
                **columns,
            }
        )

    def load_references(self, catalog: Path, model_id: int, wait_s: float) -> None:
        """Neurons refer to nothing else."""


def _n_null(rows: pa.Table) -> int:
    """Neurons of which some cosine is NULL; a bad vector shows in one of these two."""
    some_null = pc.or_(pc.is_null(rows["cos_gate_in"]), pc.is_null(rows["cos_in_out"]))
    return int(pc.sum(some_null).as_py() or 0)
