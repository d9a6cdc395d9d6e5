"""The two passes that find detectors: all neurons by bucket of tokens, then candidates by token."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Int, Int64
from numpy import ndarray
from torch import Tensor

from catalog.ingest.activations.contexts import (
    Batch,
    ContextReader,
    Unit,
)
from catalog.ingest.activations.hooks import ExpertValues, MlpValues, tap_mlps
from catalog.ingest.activations.model import load_model
from catalog.ingest.detectors.state import (
    N_BUCKETS,
    BucketState,
    DetectorPlan,
    TokenState,
    keys_of,
)
from catalog.ingest.job_passes import CorpusJob, JobOpening, OpenJobPass
from catalog.ingest.within import tell_done


@dataclass(frozen=True)
class BucketJob(CorpusJob):
    """The first pass; it can be pickled."""

    @property
    def plan(self) -> DetectorPlan:
        return DetectorPlan(**vars(super().plan))

    def empty_state(self) -> BucketState:
        return BucketState.empty(self.plan)

    def tables(self, state: BucketState, layer: int) -> Mapping[str, pa.Table]:
        return {}  # what it finds goes into the second

    def open(self, reader: ContextReader) -> "OpenBucketPass":
        loaded = load_model(self.weights.checkpoint, getattr(torch, self.dtype), self.device)
        notes = {"attention_implementation": loaded.attention}
        said = "the first of two readings of the corpus, which names candidates"
        opening = JobOpening(BucketState, self.plan, said, notes)
        return OpenBucketPass(self, loaded.model, loaded.layers, reader, opening)


@dataclass(frozen=True)
class TokenJob(CorpusJob):
    """The second pass, of what the first left; it can be pickled."""

    n_fired: Int64[ndarray, "l n"]
    candidates: Bool[ndarray, "l n"]

    @classmethod
    def after(cls, first: BucketJob, state: BucketState) -> "TokenJob":
        """The pass that follows a first one whose `state` holds all units."""
        given = {each.name: getattr(first, each.name) for each in fields(first)}
        return cls(**given, n_fired=state.n_fired, candidates=state.candidates)

    @property
    def units(self) -> list[Unit]:
        """The units of the corpus; none where there is no candidate."""
        return super().units if self.candidates.any() else []

    @property
    def plan(self) -> DetectorPlan:
        digest = hashlib.sha256(np.packbits(self.candidates).tobytes()).hexdigest()[:16]
        return DetectorPlan(**vars(super().plan), candidates=digest)

    def empty_state(self) -> TokenState:
        return TokenState.empty(self.plan)

    def tables(self, state: TokenState, layer: int) -> Mapping[str, pa.Table]:
        n = self.weights.sizes.of_layer(layer)
        n_fired = self.n_fired[layer, :n]
        covers = [
            state.cover(layer, neuron, int(n_fired[neuron]))
            if self.candidates[layer, neuron]
            else None
            for neuron in range(n)
        ]
        columns = {
            "layer": pa.array(np.full(n, layer, np.int16)),
            "neuron": pa.array(np.arange(n, dtype=np.int32)),
            "n_fired": pa.array(n_fired),
            "token_ids": _lists(covers, 0, pa.int32()),
            "n_fired_on": _lists(covers, 1, pa.int64()),
        }
        return {"detector": pa.table(columns)}

    def open(self, reader: ContextReader) -> "OpenTokenPass":
        loaded = load_model(self.weights.checkpoint, getattr(torch, self.dtype), self.device)
        notes = {"attention_implementation": loaded.attention}
        said = f"the second reading, which counts {int(self.candidates.sum()):,} candidates exactly"
        opening = JobOpening(TokenState, self.plan, said, notes)
        return OpenTokenPass(self, loaded.model, loaded.layers, reader, opening)


def _lists(covers: Sequence[list[tuple[int, int]] | None], at: int, kind: pa.DataType) -> pa.Array:
    given = [None if cover is None else [each[at] for each in cover] for cover in covers]
    return pa.array(given, pa.list_(kind))


class _Firing(NamedTuple):
    """Where the neurons of an MLP, or of an expert, fired in a batch; their first is `first`.

    `positions` of the batch, its contexts in a row, are those of `fires`; None for all.
    """

    layer: int
    first: int
    positions: Int[Tensor, " r"] | None
    fires: Bool[Tensor, "r n"]

    def of(self, by_position: Tensor) -> Tensor:
        """What stands in the last axis at these positions."""
        return by_position if self.positions is None else by_position[..., self.positions]


_BucketCounts = list[tuple[int, int, Int64[ndarray, "bucket n"]]]
"""By layer and first neuron."""

_TokenCounts = list[tuple[Int64[ndarray, " k"], Int64[ndarray, " k"]]]
"""Keys and counts."""


@dataclass(frozen=True)
class OpenBucketPass(OpenJobPass[BucketState, _BucketCounts]):
    """The first pass with its model loaded."""

    job: BucketJob

    def found(self, batch: Batch) -> _BucketCounts:
        """Firings by bucket of the input token, a product of zeros and ones."""
        n_positions = batch.tokens.numel()
        in_bucket = torch.zeros(N_BUCKETS, n_positions, device=self.job.device)
        at = torch.arange(n_positions, device=self.job.device)
        # Float32 counts exactly up to 2^24, which is more than a batch has positions.
        in_bucket[batch.tokens.flatten() % N_BUCKETS, at] = batch.counted.flatten().float()
        found: list[tuple[int, int, Tensor]] = []

        def count(seen: _Firing) -> None:
            found.append((seen.layer, seen.first, seen.of(in_bucket) @ seen.fires.float()))

        _run(self, batch, count)
        return [(layer, first, n.cpu().numpy().astype(np.int64)) for layer, first, n in found]

    def take_in(self, state: BucketState, found: _BucketCounts) -> None:
        for layer, first, counts in found:
            state.counts[layer, :, first : first + counts.shape[1]] += counts


@dataclass(frozen=True)
class OpenTokenPass(OpenJobPass[TokenState, _TokenCounts]):
    """The second pass with its model loaded."""

    job: TokenJob

    def found(self, batch: Batch) -> _TokenCounts:
        """Firings of the candidates by input token."""
        tokens, counted = batch.tokens.flatten(), batch.counted.flatten()
        found: list[tuple[Tensor, Tensor]] = []

        def count(seen: _Firing) -> None:
            own = self.job.candidates[seen.layer, seen.first : seen.first + seen.fires.shape[1]]
            chosen = torch.from_numpy(np.flatnonzero(own)).to(seen.fires.device)
            fires = seen.fires[:, chosen] & seen.of(counted)[:, None]
            position, at = fires.nonzero(as_tuple=True)
            index = seen.layer * self.job.weights.d_mlp + seen.first + chosen[at]
            keys = keys_of(index, seen.of(tokens)[position])
            found.append(torch.unique(keys, return_counts=True))

        _run(self, batch, count)
        return [(keys.cpu().numpy(), n.cpu().numpy()) for keys, n in found]

    def take_in(self, state: TokenState, found: _TokenCounts) -> None:
        keys, counts = zip(*found, strict=True)
        state.add(np.concatenate(keys), np.concatenate(counts))


def _run(
    opened: OpenBucketPass | OpenTokenPass, batch: Batch, count: Callable[[_Firing], None]
) -> None:
    """Take the model through a batch; `count` is told of every layer, and of every expert."""
    device = opened.job.device

    def tell(layer: int, first: int, positions: Tensor | None, values: MlpValues) -> None:
        # A neuron fires where the first that it reads, the gate if there is one, is positive. A
        # model spread over several devices computes some layers elsewhere.
        fires = (values.reads[0].flatten(0, -2) > 0).to(device)
        at = None if positions is None else positions.to(device)
        count(_Firing(layer, first, at, fires))
        tell_done((layer + 1) / len(opened.mlps))

    def layer_read(layer: int, values: MlpValues) -> None:
        tell(layer, 0, None, values)

    def expert_read(layer: int, seen: ExpertValues) -> None:
        tell(layer, seen.first, seen.positions, seen.values)

    with torch.inference_mode(), tap_mlps(opened.mlps, layer_read, expert_read):
        opened.model(input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False)
