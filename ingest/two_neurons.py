"""Cosines between the vectors of two neurons of a model, which only its checkpoint has."""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from catalog.ingest.checkpoint.ingested import checkpoint_of
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.paths import user_path
from catalog.neuron_id import NeuronId
from catalog.queries.records import Entry
from catalog.taxonomy import Vector, WeightKind

_N_KEPT = 2
"""So many checkpoints stay open between two comparisons: files that are mapped, not read."""


@dataclass(frozen=True)
class _Wanted:
    """What tells checkpoints apart; `files`: place, size and time of change of a local one's."""

    model: str
    source: str
    revision: str | None
    fingerprint: str
    weights: WeightKind
    at: Path | None
    files: tuple[tuple[str, int, int], ...]


def vector_cosines(
    entry: Entry, first: NeuronId, second: NeuronId, at: Path | None = None
) -> dict[tuple[Vector, Vector], float | None]:
    """Every vector of the first with every one of the second, of the entry's kind of weights.

    None where a vector is zero or not finite. Nothing is downloaded; `at` is where the checkpoint
    lies, if it was moved.

    Raises:
        CheckpointError, EnvironmentFault: it is not at hand, or not the one that was ingested.
    """
    place = at or (user_path(entry.source) if entry.revision is None else None)
    files = () if place is None else _files(place)
    weights = _opened(
        _Wanted(
            entry.model, entry.source, entry.revision, entry.fingerprint, entry.weights, at, files
        )
    )
    blocks = [weights.block(each.layer, each.neuron, each.neuron + 1) for each in (first, second)]
    ours, theirs = ({v: block[v][0].double() for v in weights.vectors} for block in blocks)
    return {(a, b): _cosine(ours[a], theirs[b]) for a in weights.vectors for b in weights.vectors}


@lru_cache(maxsize=_N_KEPT)
def _opened(wanted: _Wanted) -> NeuronVectors:
    """The vectors of a checkpoint, which is looked at anew once its files have changed."""
    return NeuronVectors(checkpoint_of(wanted, at=wanted.at, may_download=False), wanted.weights)


def _files(place: Path) -> tuple[tuple[str, int, int], ...]:
    paths = sorted(place.iterdir()) if place.is_dir() else [place]
    stats = ((path, path.stat()) for path in paths if path.is_file())
    return tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float | None:
    lengths = float(a.norm() * b.norm())
    if not math.isfinite(lengths) or lengths == 0:
        return None
    return float(a @ b) / lengths
