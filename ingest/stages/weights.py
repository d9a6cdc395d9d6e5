"""Stage `weights`: the three cosines and the three norms of every neuron."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from catalog.ingest.geometry import cosines, gram, norms, pairs
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.stages.stage import LayerRows, LayerUnit, LayerwiseStage, StageContext
from catalog.ingest.within import told
from catalog.store.staging import Staging
from catalog.taxonomy import VECTORS

COLUMNS = (
    *(f"cos_{first}_{second}" for first, second in pairs(VECTORS)),
    *(f"norm_{vector}" for vector in VECTORS),
)


class WeightsStage(LayerwiseStage):
    """Reads each layer once, in blocks of neurons (docs/definitions.md, "Weight cosines")."""

    name = "weights"

    def __init__(self, weights: NeuronVectors, device: torch.device) -> None:
        self.weights = weights
        self.device = device

    @classmethod
    def of(cls, context: StageContext) -> Self:
        return cls(context.weights, context.device)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"weights": self.weights.kind}

    @property
    def n_bytes(self) -> int:
        return 40 * self.weights.sizes.n_neurons

    def units(self) -> Sequence[LayerUnit]:
        return [LayerUnit(layer) for layer in range(self.weights.n_layers)]

    def unit_tables(self, unit: LayerUnit) -> Sequence[str]:
        return ("neuron",)

    def compute_unit(self, unit: LayerUnit) -> LayerRows:
        return {"neuron": self.layer_rows(unit.layer)}

    def notes(self, staging: Staging) -> Mapping[str, Any]:
        layers = range(self.weights.n_layers)
        names = [f"cos_{first}_{second}" for first, second in pairs(self.weights.vectors)]
        n_null = sum(_n_null(staging.read(layer, "neuron"), names) for layer in layers)
        return {"null_neurons": n_null}

    def layer_rows(self, layer: int) -> pa.Table:
        """Rows of one layer: layer, neuron and `COLUMNS`; NULL for a zero or non-finite vector."""
        vectors = self.weights.vectors
        blocks = self.weights.blocks(layer, self.device)
        n_blocks = self.weights.n_blocks(layer)
        grams = torch.cat([gram(block) for _, block in told(blocks, n_blocks)])
        values = torch.cat([cosines(grams, vectors), norms(grams, vectors)], dim=1).cpu().numpy()
        there = [f"cos_{first}_{second}" for first, second in pairs(vectors)]
        there += [f"norm_{vector}" for vector in vectors]
        found = dict(zip(there, values.T, strict=True))
        missing = np.full(len(values), np.nan, np.float32)
        columns = {
            name: pa.array(column, pa.float32(), mask=~np.isfinite(column))
            for name in COLUMNS
            for column in [found.get(name, missing)]
        }
        return pa.table(
            {
                "layer": pa.array(np.full(len(values), layer, np.int16)),
                "neuron": pa.array(np.arange(len(values), dtype=np.int32)),
                **columns,
            }
        )


def _n_null(rows: pa.Table, cosines: Sequence[str]) -> int:
    """Neurons of which one of these cosines is NULL."""
    some_null = reduce(pc.or_, (pc.is_null(rows[name]) for name in cosines))
    return int(pc.sum(some_null).as_py() or 0)
