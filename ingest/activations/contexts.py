"""What the pass reads: a tokenised corpus, cut into units that depend on the corpus alone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from jaxtyping import Bool, Int, Int32
from numpy import ndarray
from torch import Tensor

from catalog.errors import CorpusError
from catalog.ingest.corpus.tokenised import CorpusSummary
from catalog.taxonomy import N_SAMPLED_POSITIONS

LENGTH_MULTIPLE = 8
"""Padded lengths are multiples of this: matrix products like it, and shapes repeat more often."""


class ContextReader(Protocol):
    """A tokenised corpus; context ids run from 0 to n_contexts - 1."""

    @property
    def lengths(self) -> Int32[ndarray, " n_contexts"]:
        """Tokens of every context, the start token included."""

    def tokens(self, context_ids: Iterable[int]) -> list[Int32[ndarray, " length"]]:
        """Token ids of these contexts, the start token first; not to be changed."""


class WholeContextReader(ContextReader, Protocol):
    """A tokenised corpus that also knows what follows its contexts."""

    @property
    def next_token_ids(self) -> Int32[ndarray, " n_contexts"]:
        """The document's token after each context's last one, -1 where the document ends."""


class Unit(NamedTuple):
    """One batch: some contexts, padded on the right to one length."""

    context_ids: Int32[ndarray, " b"]
    padded_length: int

    @property
    def n_slots(self) -> int:
        """Positions of the batch, padding included: what the forward pass costs."""
        return len(self.context_ids) * self.padded_length


def plan_units(lengths: Int32[ndarray, " n_contexts"], tokens_per_batch: int) -> list[Unit]:
    """Cut a corpus into units, longest contexts first (docs/definitions.md).

    A function of the corpus and `tokens_per_batch` (>= 1) alone. Longest first, so that what does
    not fit in memory shows at once and early exemplars are strong; a context that alone exceeds
    `tokens_per_batch` is a unit of its own. Raises CorpusError for a corpus without contexts.
    """
    if len(lengths) == 0:
        raise CorpusError("The corpus has no contexts.")
    order = np.lexsort((np.arange(len(lengths)), -lengths.astype(np.int64))).astype(np.int32)
    units, start = [], 0
    while start < len(order):
        padded = -(-int(lengths[order[start]]) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        n_rows = max(1, tokens_per_batch // padded)
        units.append(Unit(order[start : start + n_rows], padded))
        start += n_rows
    return units


@dataclass(frozen=True)
class CountingRule:
    """Which positions of a context count: neither the start token nor special ones.

    `special_ids` empty and `skip_first` False counts every position but padding.
    """

    special_ids: tuple[int, ...]
    skip_first: bool

    @classmethod
    def of(cls, corpus: CorpusSummary) -> Self:
        """The rule that a corpus was tokenised with."""
        excluded = corpus.special_tokens == "excluded"
        return cls(
            tuple(corpus.special_token_ids) if excluded else (),
            skip_first=excluded and corpus.position_0_special,
        )

    def counted(self, tokens: Int[ndarray, "*shape t"]) -> Bool[ndarray, "*shape t"]:
        """True where a position counts; the last axis runs over positions from 0."""
        counted = ~np.isin(tokens, np.array(self.special_ids, np.int64))
        if self.skip_first:
            counted[..., :1] = False
        return counted


class SampledPositions(NamedTuple):
    """The positions whose post is kept for every neuron, by context, then position."""

    context_ids: Int32[ndarray, " s"]
    positions: Int32[ndarray, " s"]


def draw_samples(
    reader: ContextReader, rule: CountingRule, seed: int, n: int = N_SAMPLED_POSITIONS
) -> SampledPositions:
    """Draw `n` counted positions of the corpus without replacement, all of them if fewer exist.

    Positions are drawn from all tokens and those that do not count are thrown away; if too few
    are left, more are drawn afresh, so that only `seed` and the corpus decide.
    """
    ends = np.cumsum(reader.lengths, dtype=np.int64)
    n_tokens = int(ends[-1])
    n_drawn = min(n_tokens, 4 * n)
    while True:
        drawn = np.random.default_rng(seed).choice(n_tokens, n_drawn, replace=False)
        contexts = np.searchsorted(ends, drawn, side="right").astype(np.int32)
        positions = (drawn - ends[contexts] + reader.lengths[contexts]).astype(np.int32)
        unique = np.unique(contexts)
        counted = dict(zip(unique, map(rule.counted, reader.tokens(unique.tolist())), strict=True))
        keep = np.array([counted[c][p] for c, p in zip(contexts, positions, strict=True)], bool)
        if keep.sum() >= n or n_drawn == n_tokens:
            contexts, positions = contexts[keep][:n], positions[keep][:n]
            order = np.lexsort((positions, contexts))
            return SampledPositions(contexts[order], positions[order])
        n_drawn = min(n_tokens, 4 * n_drawn)


@dataclass(frozen=True)
class Batch:
    """A unit, or a part of one, on the host or on the device."""

    context_ids: Int[Tensor, " b"]  # int64
    tokens: Int[Tensor, "b t"]  # int64, 0 in the padding
    lengths: Int[Tensor, " b"]  # int64
    counted: Bool[Tensor, "b t"]

    @property
    def attention_mask(self) -> Int[Tensor, "b t"]:
        """1 for the context's tokens, 0 for padding."""
        steps = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        return (steps < self.lengths[:, None]).long()

    def rows(self, part: slice) -> Self:
        """The same batch with some of its contexts only, at the same padded length."""
        return self._each(lambda tensor: tensor[part])

    def pinned(self) -> Self:
        """The same batch in host memory that a CUDA device reads by itself."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        tensors = (self.context_ids, self.tokens, self.lengths, self.counted)
        return type(self)(*map(change, tensors))


def read_batch(reader: ContextReader, unit: Unit, rule: CountingRule) -> Batch:
    """Read the contexts of `unit` and pad them on the right; on the host."""
    lengths = np.zeros(len(unit.context_ids), np.int64)
    tokens = np.zeros((len(unit.context_ids), unit.padded_length), np.int64)
    counted = np.zeros(tokens.shape, bool)
    for row, ids in enumerate(reader.tokens(unit.context_ids.tolist())):
        lengths[row] = len(ids)
        tokens[row, : len(ids)] = ids
        counted[row, : len(ids)] = rule.counted(ids)
    arrays = (unit.context_ids.astype(np.int64), tokens, lengths, counted)
    return Batch(*map(torch.from_numpy, arrays))
