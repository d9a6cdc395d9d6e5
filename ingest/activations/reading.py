"""What one batch says about one layer, and the reading of it in torch, for all sign cases at once.

It runs on any device and on any dtype, and is what other readings are compared with.
"""

from functools import reduce
from operator import and_
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from catalog.ingest.activations.hooks import MlpValues

SUM_STEP: Final = 2.0**-26
"""A context's sum is rounded once to a multiple of this: half a step is 7.5e-9, and 64
bits hold 1.4e11, a mean of 6800 over all positions of 20M tokens."""

CASE_SIGNS: Final = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""Signs of (gate, in), in the order of SIGN_CASES."""

PLAIN_CASE_SIGNS: Final = ((1,), (-1,))
"""Signs of in, in the order of PLAIN_SIGN_CASES."""

EMPTY: Final = -1
"""The rank key of no context: below every real one."""

_CONTEXT_BITS: Final = 32
_LAST_CONTEXT: Final = 2**31 - 1

_MAGNITUDE: Final = 0x7FFFFFFF
"""All bits of a float32 but its sign."""

_INFINITY: Final = 0x7F800000
"""The bits of the float32 infinity: above those of all finite magnitudes, below those of NaN."""

BLOCK_POSITIONS: Final = 2**9
BLOCK_VALUES: Final = 24 * 2**10
"""What `read_blocks` reads at a time, so that its temporaries stay in the cache; for the same
reason it takes about 500 positions, unless one context is longer. Below 32768 values torch uses
one thread for an operation: waiting for a second one costs more where cores are shared."""


class Reading(NamedTuple):
    """What one batch says about one layer; the case axis is in the order of the sign cases."""

    n_in_case: Int[Tensor, "case n"]  # int64, positions in the case
    total: Int[Tensor, "quantity case n"]  # int64, sums of post and reads as multiples of SUM_STEP
    extreme: Float[Tensor, "quantity case n"]  # float32, largest of the reads in the case, else 0
    key: Int[Tensor, "b case n"]  # int64, rank of each context's best |post|, EMPTY if none
    enters: Bool[Tensor, "case n"]  # some context of the batch ranks above `floor`
    n_nonfinite: Int[Tensor, " b"]  # int64, counted values that are not finite
    position: Int[Tensor, "b case n"] | None = None  # int32, of the best |post|, if looked for


def case_signs(*, gated: bool) -> tuple[tuple[int, ...], ...]:
    """For every sign case the signs of what an MLP reads."""
    return CASE_SIGNS if gated else PLAIN_CASE_SIGNS


def rank_key(
    magnitude_bits: Int[Tensor, "*shape"], context_ids: Int[Tensor, "*#shape"]
) -> Int[Tensor, "*shape"]:
    """One int64 that orders contexts by |post|, ties by lower context id.

    `magnitude_bits` is the int32 view of a float32 >= 0, which orders as the float does.
    """
    return (magnitude_bits.long() << _CONTEXT_BITS) + (_LAST_CONTEXT - context_ids)


def context_of(key: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """The context id inside a rank key that is not EMPTY."""
    return _LAST_CONTEXT - (key & _LAST_CONTEXT)


def magnitude_bits_of(key: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """The int32 view of |post| inside a rank key that is not EMPTY."""
    return (key >> _CONTEXT_BITS).to(torch.int32)


def read_cases(
    values: MlpValues,
    counted: Bool[Tensor, "b t"],
    context_ids: Int[Tensor, " b"],
    floor: Int[Tensor, "case n"],
) -> Reading:
    """Count, sum, and find extremes and ranks, of every neuron in every sign case.

    Reads values in the model's dtype and adds in float32. A position where one of them is not
    finite is in no case. `floor` holds the rank keys that a context must exceed to enter.

    Selects with integer masks (-1 or 0) on the bits of floats: eager `where` takes 30 times as
    long, and the bits of floats >= 0 order as integers, without rules for NaN.
    """
    first, *others = values.reads
    first_bits, post_bits = _bits(first.float()), _bits(values.post.float())
    magnitude = post_bits & _MAGNITUDE
    # post = act(gate) * in is finite where gate and in are.
    finite = _below_infinity(magnitude) & _below_infinity(first_bits & _MAGNITUDE)
    seen = -counted.int()[..., None]
    n_nonfinite = -(seen & ~finite).sum(1, dtype=torch.int32).sum(1)
    # A value of 0 is in no case.
    halves = [_halves((first_bits & seen & finite).view(torch.float32))]
    halves += [_halves(other.float()) for other in others]
    counts, totals, extremes, best = [], [], [], []
    for signs in case_signs(gated=values.gate is not None):
        in_half = [half[sign] for half, sign in zip(halves, signs, strict=True)]
        in_case = reduce(and_, (there for _, there in in_half))
        reads = [bits & in_case for bits, _ in in_half]
        counts.append(-in_case.sum(1, dtype=torch.int32))
        sums = [sign * _sum(bits) for sign, bits in zip(signs, reads, strict=True)]
        totals.append((_sum(post_bits & in_case), *sums))
        extremes.append(tuple(bits.amax(1) for bits in reads))
        best.append((magnitude & in_case).amax(1))
    total, extreme = (
        torch.stack([torch.stack(of_case, 1) for of_case in zip(*parts, strict=True)], 1)
        for parts in (totals, extremes)
    )
    found = torch.stack(counts, 1), total, extreme, torch.stack(best, 1)
    return gathered(*found, context_ids, floor, n_nonfinite)


def gathered(
    count: Int[Tensor, "b case n"],
    total: Float[Tensor, "b quantity case n"],
    extreme: Int[Tensor, "b read case n"],
    best: Int[Tensor, "b case n"],
    context_ids: Int[Tensor, " b"],
    floor: Int[Tensor, "case n"],
    n_nonfinite: Int[Tensor, " b"],
    position: Int[Tensor, "b case n"] | None = None,
) -> Reading:
    """What contexts say together; `extreme` and `best` are the bits of float32 magnitudes."""
    key = torch.where(count > 0, rank_key(best, context_ids[:, None, None]), EMPTY)
    return Reading(
        count.sum(0),
        (total * (1 / SUM_STEP)).round().long().sum(0),
        extreme.amax(0).view(torch.float32),
        key,
        (key > floor).any(0),
        n_nonfinite,
        position,
    )


def _bits(x: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    return x.view(torch.int32)


def _below_infinity(magnitude: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """-1 where the float of these bits, its sign cleared, is finite, else 0."""
    return (magnitude - _INFINITY) >> 31


def _halves(
    x: Float[Tensor, "*shape"],
) -> dict[int, tuple[Int[Tensor, "*shape"], Int[Tensor, "*shape"]]]:
    """For either sign the bits of |x| where x has it, else 0, and -1 where it has it, else 0."""
    positive, negative = _bits(torch.relu(x).abs()), _bits(torch.relu(-x).abs())  # abs: no -0
    return {1: (positive, -positive >> 31), -1: (negative, -negative >> 31)}


def _sum(bits: Int[Tensor, "b t n"]) -> Float[Tensor, "b n"]:
    return bits.view(torch.float32).sum(1)


def read_blocks(
    values: MlpValues,
    counted: Bool[Tensor, "b t"],
    context_ids: Int[Tensor, " b"],
    floor: Int[Tensor, "case n"],
) -> Reading:
    """As `read_cases`, in blocks whose temporaries stay in a processor's cache."""
    n_rows = max(1, BLOCK_POSITIONS // counted.shape[1])
    width = max(16, BLOCK_VALUES // (n_rows * counted.shape[1]))
    by_context = []
    for *part, seen, ids in zip(
        *(x.split(n_rows) for x in (*values.tensors, counted, context_ids)), strict=True
    ):
        blocks = [
            read_cases(MlpValues.of(block), seen, ids, floor_block)
            for *block, floor_block in zip(
                *(x.split(width, -1) for x in (*part, floor)), strict=True
            )
        ]
        *by_neuron, n_nonfinite, _ = (list(field) for field in zip(*blocks, strict=True))
        by_context.append([torch.cat(x, -1) for x in by_neuron] + [torch.stack(n_nonfinite).sum(0)])
    counts, totals, extremes, keys, enters, n_nonfinite = map(list, zip(*by_context, strict=True))
    return Reading(
        torch.stack(counts).sum(0),
        torch.stack(totals).sum(0),
        torch.stack(extremes).amax(0),
        torch.cat(keys),
        torch.stack(enters).any(0),
        torch.cat(n_nonfinite),
    )
