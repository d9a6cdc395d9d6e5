"""Cosines between the vectors of two neurons of a model, which only its checkpoint has."""

import math
from pathlib import Path

import torch

from catalog.ingest.checkpoint.ingested import checkpoint_of
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.neuron_id import NeuronId
from catalog.queries.records import Entry
from catalog.taxonomy import Vector


def vector_cosines(
    entry: Entry, first: NeuronId, second: NeuronId, at: Path | None = None
) -> dict[tuple[Vector, Vector], float | None]:
    """Every vector of the first with every one of the second, of the entry's kind of weights.

    None where a vector is zero or not finite. Nothing is downloaded; `at` is where the checkpoint
    lies, if it was moved.

    Raises:
        CheckpointError, EnvironmentFault: it is not at hand, or not the one that was ingested.
    """
    checkpoint = checkpoint_of(entry, at=at, may_download=False)
    weights = NeuronVectors(checkpoint, entry.weights)
    blocks = [weights.block(each.layer, each.neuron, each.neuron + 1) for each in (first, second)]
    ours, theirs = ({v: block[v][0].double() for v in weights.vectors} for block in blocks)
    return {(a, b): _cosine(ours[a], theirs[b]) for a in weights.vectors for b in weights.vectors}


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float | None:
    lengths = float(a.norm() * b.norm())
    if not math.isfinite(lengths) or lengths == 0:
        return None
    return float(a @ b) / lengths
