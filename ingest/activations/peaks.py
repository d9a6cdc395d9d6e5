"""Exemplars as rows of tensors: where a context's best |post| is, and the window around it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from catalog.ingest.activations.contexts import Batch
from catalog.ingest.activations.hooks import MlpValues
from catalog.ingest.activations.reading import case_signs, magnitude_bits_of
from catalog.taxonomy import WINDOW_AFTER, WINDOW_BEFORE

WINDOW: Final = WINDOW_BEFORE + 1 + WINDOW_AFTER
"""Slots of a window; slot WINDOW_BEFORE is the peak."""

BYTE_MAX: Final = 127

NOT_ASKED: Final = -128
"""The byte of a position at which a neuron's expert was not asked: no value has it."""

_OFFSETS: Final = torch.arange(-WINDOW_BEFORE, WINDOW_AFTER + 1)

GATHER_VALUES: Final = {"cpu": 2**18, "cuda": 2**24}
"""Values gathered at a time while looking for positions: bounds the memory of the first batches,
and on the CPU keeps it in the cache."""

DENSE_SHARE: Final = 16
"""If more than 1 in so many (context, neuron) pairs enters, post is transposed for the search."""

Index = Int[Tensor, " r"] | tuple[Int[Tensor, " r"], Int[Tensor, " r"]]


class Peaks(NamedTuple):
    """Exemplars, any leading shape; for what the fields hold see ActivationState."""

    key: Int[Tensor, "*shape"]
    peak: Float[Tensor, "*shape quantity"]
    position: Int[Tensor, "*shape"]
    scale: Float[Tensor, "*shape"]
    window: Int8[Tensor, "*shape w"]

    def take(self, rows: Int[Tensor, " r"]) -> "Peaks":
        """A copy of some rows."""
        return Peaks(*(x[rows] for x in self))

    def put(self, index: Index, values: "Peaks") -> None:
        """Overwrite in place."""
        for target, source in zip(self, values, strict=True):
            target[index] = source

    def select(self, columns: Int[Tensor, "r k"], key: Int[Tensor, "r k"]) -> "Peaks":
        """Of each row the exemplars at `columns`, with the keys given."""
        rows = torch.arange(len(columns), device=columns.device)[:, None]
        return Peaks(key, *(x[rows, columns] for x in self[1:]))


def find_peaks(
    batch: Batch,
    values: MlpValues,
    context_rows: Int[Tensor, " m"],
    case_neurons: Int[Tensor, " m"],  # case * n + neuron
    keys: Int[Tensor, " m"],
    positions: Int[Tensor, " m"] | None = None,
    asked: Bool[Tensor, "b t"] | None = None,
) -> Peaks:
    """Values and window of exemplars whose |post| is known from their rank keys.

    `positions` as far as the reading found them, else they are looked for here; `asked`: where the
    expert was asked, if the neurons are those of one.
    """
    windows = _windows
    if positions is not None:
        # Where there are positions there is numba, which is imported by nobody else.
        from catalog.ingest.activations.fused import windows_at as windows
    else:
        positions = _look_up(batch, values, context_rows, case_neurons, keys, asked)
    chunk = max(1, GATHER_VALUES[keys.device.type] // WINDOW)
    entries = (context_rows, positions.long(), case_neurons % values.post.shape[-1], keys)
    parts = [
        _peaks_at(batch, values, asked, windows, *part)
        for part in zip(*(x.split(chunk) for x in entries), strict=True)
    ]
    return Peaks(*(torch.cat(of_field) for of_field in zip(*parts, strict=True)))


def _peaks_at(
    batch: Batch,
    values: MlpValues,
    asked: Bool[Tensor, "b t"] | None,
    windows: Callable[..., tuple[Tensor, Tensor]],
    b: Int[Tensor, " m"],
    t: Int[Tensor, " m"],
    n: Int[Tensor, " m"],
    keys: Int[Tensor, " m"],
) -> Peaks:
    post = values.post
    peak = torch.stack([x[b, t, n].float() for x in (post, *values.reads)], 1)
    scale, window = windows(post, batch.lengths, b, t, n)
    if asked is not None:
        steps = (t[:, None] + _OFFSETS.to(t.device)).clamp(0, post.shape[1] - 1)
        window[~asked[b[:, None], steps]] = NOT_ASKED
    return Peaks(keys, peak, t.int(), scale, window)


def _look_up(
    batch: Batch,
    values: MlpValues,
    context_rows: Int[Tensor, " m"],
    case_neurons: Int[Tensor, " m"],
    keys: Int[Tensor, " m"],
    asked: Bool[Tensor, "b t"] | None,
) -> Int[Tensor, " m"]:
    """Where in its context each |post| stands first, of the positions in the case."""
    if asked is not None:
        batch = replace(batch, counted=batch.counted & asked)
    columns = values.post.transpose(1, 2)  # [b, n, t]
    if len(keys) > columns[..., 0].numel() // DENSE_SHARE:
        columns = columns.contiguous()
    chunk = max(1, GATHER_VALUES[columns.device.type] // columns.shape[-1])
    return torch.cat(
        [
            _look_up_chunk(batch, values, columns, *part)
            for part in zip(
                *(x.split(chunk) for x in (context_rows, case_neurons, keys)), strict=True
            )
        ]
    )


def _look_up_chunk(
    batch: Batch,
    values: MlpValues,
    columns: Float[Tensor, "b n t"],
    b: Int[Tensor, " m"],
    case_neurons: Int[Tensor, " m"],
    keys: Int[Tensor, " m"],
) -> Int[Tensor, " m"]:
    n = case_neurons % columns.shape[1]
    of_case = torch.tensor(case_signs(gated=values.gate is not None), device=keys.device)
    signs = of_case[case_neurons // columns.shape[1]]  # [m, read]

    def in_case(b: Tensor, t: Tensor | slice, n: Tensor, signs: Tensor) -> Tensor:
        fits = batch.counted[b, t]
        for at, read in enumerate(values.reads):
            fits = fits & (read[b, t, n] * signs[..., at] > 0)
        return fits

    best = magnitude_bits_of(keys).view(torch.float32)
    at_peak = columns[b, n].abs() == best[:, None]  # [m, t]
    t = _first(at_peak)
    # Rarely an equal |post| stands earlier, in another case or where nothing counts.
    wrong = (~in_case(b, t, n, signs)).nonzero()[:, 0]
    if len(wrong):
        fits = in_case(b[wrong], slice(None), n[wrong], signs[wrong, None])
        t[wrong] = _first(at_peak[wrong] & fits)
    return t


def _first(found: Bool[Tensor, "m t"]) -> Int[Tensor, " m"]:
    """The lowest position where `found` is True, int64."""
    return found.view(torch.uint8).argmax(1)  # of equal maxima the first, by torch's contract


def _windows(
    post: Float[Tensor, "b t n"],
    lengths: Int[Tensor, " b"],
    b: Int[Tensor, " m"],
    t: Int[Tensor, " m"],
    n: Int[Tensor, " m"],
) -> tuple[Float[Tensor, " m"], Int8[Tensor, "m w"]]:
    """post around each peak, 0 outside the context and where it is not finite; scales and bytes."""
    steps = t[:, None] + _OFFSETS.to(post.device)
    inside = (steps >= 0) & (steps < lengths[b, None])
    values = post[b[:, None], steps.clamp(0, post.shape[1] - 1), n[:, None]].float()
    return quantise(torch.where(inside & values.isfinite(), values, 0.0))


def quantise(
    values: Float[Tensor, "*shape w"],
) -> tuple[Float[Tensor, "*shape"], Int8[Tensor, "*shape w"]]:
    """Signed bytes and the scale that turns them back: largest |value| / 127."""
    scale = values.abs().amax(-1) / BYTE_MAX
    step = torch.where(scale > 0, scale, 1.0)[..., None]
    return scale, (values / step).round().clamp(-BYTE_MAX, BYTE_MAX).to(torch.int8)
