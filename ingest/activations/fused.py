"""The reading of all sign cases in one pass over the values, compiled by numba, for processors.

It sees every value once, in the order it has in memory, and notes where the maxima are. Neurons are
independent: each is added up in the order of its positions, whatever the number of threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias, TypeVar

import numba
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8, UInt
from numpy import ndarray
from torch import Tensor

from catalog.ingest.activations.hooks import MlpValues
from catalog.ingest.activations.peaks import BYTE_MAX, WINDOW
from catalog.ingest.activations.reading import Reading, case_signs, gathered
from catalog.taxonomy import WINDOW_BEFORE

WIDTH: Final = 1024
"""Neurons at a time: their rows are long enough for a processor to fetch them ahead, and what is
kept of them (130 KB) stays in its second cache."""

_PADDING: Final = 16
"""Floats between rows of what is kept: rows a power of two apart would share few cache lines."""

_STRETCH: Final = 32
"""Positions added in float32 before their sum is added in float64."""

_THREAD_PAYS_ABOVE: Final = 2**17
"""Values (half a millisecond of reading) for which one more thread is asked."""

_BITS: Final = {
    torch.float32: (torch.int32, np.uint32, np.uint32(0)),
    torch.bfloat16: (torch.int16, np.uint16, np.uint32(16)),
}
"""Of each dtype the integers of its width, and how far left its bits stand in a float32."""

_POST, _GATE, _IN, _COUNT, _MAX_GATE, _MAX_IN, _BEST, _AT = range(8)
"""What is kept of a sign case, all of it float32: exact for counts and positions below 2^24."""

_N_SUMS: Final = 3
_N_KEPT: Final = 8

_INFINITY: Final = np.float32(np.inf)
_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_BYTE_MAX: Final = np.float32(BYTE_MAX)

Bits: TypeAlias = UInt[ndarray, " w"]
Compiled = TypeVar("Compiled", bound=Callable[..., Any])


def _jit(function: Compiled) -> Compiled:
    """Compile at the first call; kept on disk where numba finds a folder that it can write to."""
    compile_it: Any = numba.njit
    try:
        compiled: Compiled = compile_it(function, nogil=True, cache=True)
    except RuntimeError:  # there is no such folder
        compiled = compile_it(function, nogil=True)
    return compiled


def read_fused(
    values: MlpValues,
    counted: Bool[Tensor, "b t"],
    context_ids: Int[Tensor, " b"],
    floor: Int[Tensor, "case n"],
) -> Reading:
    """As `reading.read_cases`, of values in host memory, and with `position`.

    A context's sums are float64 sums of float32 sums over a few positions each.
    """
    gated = values.gate is not None
    # What a plain MLP reads stands for a gate of the same sign.
    tensors = values.tensors if gated else (values.x_in, *values.tensors)
    if values.post.dtype not in _BITS:
        tensors = tuple(x.float() for x in tensors)
    shift = _BITS[tensors[0].dtype][2]
    signs = np.array([(sign[0], sign[-1]) for sign in case_signs(gated=gated)], np.float32)
    b, _, n = values.post.shape
    found = torch.empty(b, len(signs), _N_KEPT, n)
    sums = torch.empty(b, len(signs), _N_SUMS, n, dtype=torch.float64)
    shares = _shares(n, values.post.numel())
    n_nonfinite = torch.zeros(len(shares), b, dtype=torch.int64)
    (gate, gate_step), (x_in, in_step), (post, post_step) = map(_bits, tensors)

    def read(share: tuple[int, int], n_nonfinite: Int[Tensor, " b"]) -> None:
        values = (gate, x_in, post, gate_step, in_step, post_step, shift)
        out = (found.numpy(), sums.numpy(), n_nonfinite.numpy())
        _read_neurons(*values, signs, counted.numpy(), *out, *share)

    if len(shares) == 1:
        read(shares[0], n_nonfinite[0])
    else:
        with ThreadPoolExecutor(len(shares)) as threads:
            list(threads.map(read, shares, n_nonfinite))
    first = 0 if gated else 1
    return gathered(
        found[:, :, _COUNT].int(),
        sums.transpose(1, 2)[:, [_POST, *range(_GATE + first, _N_SUMS)]],
        found[:, :, _MAX_GATE + first : _MAX_IN + 1].transpose(1, 2).view(torch.int32),
        found[:, :, _BEST].view(torch.int32),
        context_ids,
        floor,
        n_nonfinite.sum(0),
        found[:, :, _AT].int(),
    )


def windows_at(
    post: Float[Tensor, "b t n"],
    lengths: Int[Tensor, " b"],
    b: Int[Tensor, " m"],
    t: Int[Tensor, " m"],
    n: Int[Tensor, " m"],
) -> tuple[Float[Tensor, " m"], Int8[Tensor, "m w"]]:
    """Scales and bytes of the windows around peaks, as `peaks.quantise` makes them."""
    if post.dtype not in _BITS:
        post = post.float()
    bits, step = _bits(post)
    scale, window = torch.empty(len(b)), torch.empty(len(b), WINDOW, dtype=torch.int8)
    arrays = (x.numpy() for x in (lengths, b, t, n, scale, window))
    _read_windows(bits, step, _BITS[post.dtype][2], post.shape[1], *arrays)
    return scale, window


def _shares(n: int, n_values: int) -> list[tuple[int, int]]:
    """The neurons of each thread: as many threads as torch has, fewer where little is to read."""
    n_shares = min(torch.get_num_threads(), 1 + n_values // _THREAD_PAYS_ABOVE)
    each = -(-n // (n_shares * _PADDING)) * _PADDING
    return [(first, min(n, first + each)) for first in range(0, n, each)]


def _bits(x: Float[Tensor, "b t n"]) -> tuple[Bits, int]:
    """The bits of a tensor as one row, from its first value on, and how far apart positions are."""
    rows = x.flatten(0, 1)
    if rows.stride(1) != 1:
        rows = rows.contiguous()
    step = rows.stride(0)
    integers, unsigned, _ = _BITS[x.dtype]
    row = rows.as_strided(((len(rows) - 1) * step + rows.shape[1],), (1,))
    bits: Bits = row.view(integers).numpy().view(unsigned)
    return bits, step


@numba.njit(inline="always")
def _add(
    kept: Float[ndarray, "8 w"],
    gate: Bits,
    x_in: Bits,
    post: Bits,
    shift: np.uint32,
    signs: Float[ndarray, " 2"],
    t: int,
) -> None:
    """Add one position to what is kept of one sign case, of neurons side by side."""
    sign_gate, sign_in, at = signs[0], signs[1], np.float32(t)
    for j in range(len(post)):
        y, gate_j, in_j = _value(post[j], shift), _value(gate[j], shift), _value(x_in[j], shift)
        g, x, magnitude = gate_j * sign_gate, in_j * sign_in, abs(y)
        # No comparison holds of NaN; post is finite only where both reads are.
        there = (g > _ZERO) & (x > _ZERO) & (g < _INFINITY) & (magnitude < _INFINITY)
        kept[_POST, j] += y if there else _ZERO
        kept[_GATE, j] += gate_j if there else _ZERO
        kept[_IN, j] += in_j if there else _ZERO
        kept[_COUNT, j] += _ONE if there else _ZERO
        kept[_MAX_GATE, j] = g if there & (g > kept[_MAX_GATE, j]) else kept[_MAX_GATE, j]
        kept[_MAX_IN, j] = x if there & (x > kept[_MAX_IN, j]) else kept[_MAX_IN, j]
        better = there & (magnitude > kept[_BEST, j])
        kept[_BEST, j] = magnitude if better else kept[_BEST, j]
        kept[_AT, j] = at if better else kept[_AT, j]


@numba.njit(inline="always")
def _count_nonfinite(gate: Bits, post: Bits, shift: np.uint32) -> int:
    n = 0
    for j in range(len(post)):
        g, y = abs(_value(gate[j], shift)), abs(_value(post[j], shift))
        n += 0 if (g < _INFINITY) & (y < _INFINITY) else 1
    return n


@numba.njit(inline="always")
def _carry(kept: Float[ndarray, "case 8 w"], sums: Float[ndarray, "case 3 w"]) -> None:
    """Move the float32 sums into the float64 ones."""
    for case in range(len(sums)):
        for quantity in range(_N_SUMS):
            for j in range(sums.shape[2]):
                sums[case, quantity, j] += kept[case, quantity, j]
                kept[case, quantity, j] = 0


@numba.njit(inline="always")
def _clear(kept: Float[ndarray, "case 8 w"], sums: Float[ndarray, "case 3 w"]) -> None:
    for case in range(len(kept)):
        for field in range(_N_KEPT):
            for j in range(kept.shape[2]):
                kept[case, field, j] = -_ONE if field == _BEST else _ZERO
        for quantity in range(_N_SUMS):
            for j in range(sums.shape[2]):
                sums[case, quantity, j] = 0


@numba.njit(inline="always")
def _copy(
    kept: Float[ndarray, "case field w"],
    out: Float[ndarray, "case field n"],
    first: int,
    last: int,
) -> None:
    for case in range(kept.shape[0]):
        for field in range(kept.shape[1]):
            for j in range(last - first):
                out[case, field, first + j] = kept[case, field, j]


@numba.njit(inline="always")
def _value(bits: np.uint32, shift: np.uint32) -> np.float32:
    return np.uint32(np.uint32(bits) << shift).view(np.float32)


@_jit
def _read_neurons(
    gate: Bits,
    x_in: Bits,
    post: Bits,
    gate_step: int,
    in_step: int,
    post_step: int,
    shift: np.uint32,
    signs: Float[ndarray, "case 2"],
    counted: Bool[ndarray, "b t"],
    found: Float[ndarray, "b case 8 n"],
    sums: Float[ndarray, "b case 3 n"],
    n_nonfinite: Int[ndarray, " b"],
    begin: int,
    end: int,
) -> None:
    """Write what there is of neurons `begin` to `end`; `_BEST` is -1 for a case that is empty."""
    n_contexts, n_steps = counted.shape
    kept = np.empty((len(signs), _N_KEPT, WIDTH + _PADDING), np.float32)
    carried = np.empty((len(signs), _N_SUMS, WIDTH), np.float64)
    for first in range(begin, end, WIDTH):
        last = min(end, first + WIDTH)
        for b in range(n_contexts):
            _clear(kept, carried)
            n_added = 0
            for t in range(n_steps):
                if not counted[b, t]:
                    continue
                place = b * n_steps + t
                gate_row = gate[place * gate_step + first : place * gate_step + last]
                in_row = x_in[place * in_step + first : place * in_step + last]
                post_row = post[place * post_step + first : place * post_step + last]
                for case in range(len(signs)):
                    _add(kept[case], gate_row, in_row, post_row, shift, signs[case], t)
                n_nonfinite[b] += _count_nonfinite(gate_row, post_row, shift)
                n_added += 1
                if n_added % _STRETCH == 0:
                    _carry(kept, carried)
            _carry(kept, carried)
            _copy(kept, found[b], first, last)
            _copy(carried, sums[b], first, last)


@_jit
def _read_windows(
    post: Bits,
    step: int,
    shift: np.uint32,
    n_steps: int,
    lengths: Int[ndarray, " b"],
    b: Int[ndarray, " m"],
    t: Int[ndarray, " m"],
    n: Int[ndarray, " m"],
    scale: Float[ndarray, " m"],
    window: Int[ndarray, "m w"],
) -> None:
    """Write 0 outside the context and for what is not finite."""
    values = np.empty(WINDOW, np.float32)
    for i in range(len(b)):
        largest = _ZERO
        for slot in range(WINDOW):
            at = t[i] + slot - WINDOW_BEFORE
            value = _ZERO
            if 0 <= at < lengths[b[i]]:
                value = _value(post[(b[i] * n_steps + at) * step + n[i]], shift)
            values[slot] = value if abs(value) < _INFINITY else _ZERO
            largest = abs(values[slot]) if abs(values[slot]) > largest else largest
        scale[i] = largest / _BYTE_MAX
        unit = scale[i] if scale[i] > _ZERO else _ONE
        for slot in range(WINDOW):
            byte = np.rint(values[slot] / unit)
            window[i, slot] = np.int8(min(max(byte, -_BYTE_MAX), _BYTE_MAX))
