"""`catalog verify --exemplars`: stored exemplars against the plain transformers forward pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from catalog.errors import MismatchError
from catalog.ingest.activations.hooks import MlpValues
from catalog.ingest.device import pick_device
from catalog.ingest.probe import open_probe
from catalog.queries.records import DrawnExemplar

TOLERANCES: Final = {"float32": 1e-3, "bfloat16": 6e-2}
"""Largest deviation allowed, as a share of the exemplar's own largest magnitude."""


def recheck_exemplars(
    drawn: Sequence[DrawnExemplar], device: str, checkpoint: Path | None = None
) -> tuple[pa.Table, str]:
    """Recompute exemplars (of one model), each context alone in a batch without padding.

    `checkpoint` is where the model lies now, if it was moved.

    Returns:
        One row per exemplar: where it is, the largest deviation of post, gate and in at the peak
        and of post in the window (beyond half a step of its bytes), as a share of the largest
        magnitude; and whether all are within tolerance. Then a sentence on what was done.

    What no model can compute (a position beyond the context, a token that it has not) disagrees.

    Raises:
        CheckpointError: the checkpoint is not the one that was ingested.
        MismatchError: the run that made them is not one of an ingest.
    """
    dtype = drawn[0].dtype
    if dtype not in TOLERANCES:
        raise MismatchError(
            f"The exemplars of {drawn[0].model} were computed in {dtype!r}, says the catalog, as "
            "no ingest computes. Restore it from a copy."
        )
    tolerance = TOLERANCES[dtype]
    probe = open_probe(drawn[0], dtype, pick_device(device), at=checkpoint)
    checks: list[dict[str, Any]] = []
    values: dict[int, MlpValues] = {}
    at: tuple[str, int] | None = None
    for exemplar in drawn:
        if not probe.can_compute(exemplar):
            checks.append(_row(exemplar))
            continue
        place = exemplar.corpus, exemplar.context_id
        if place != at:
            layers = {e.layer for e in drawn if (e.corpus, e.context_id) == place}
            values, at = probe.values(exemplar.token_ids, layers), place
        of_layer = values[exemplar.layer]
        there = exemplar.neuron < of_layer.post.shape[1]
        checks.append(_checked(exemplar, of_layer, dtype) if there else _row(exemplar))
    said = (
        f"{len(checks)} exemplars of {drawn[0].model} recomputed in {dtype} on "
        f"{probe.device.type}, one context at a time; tolerance {tolerance:g} of the largest "
        "magnitude"
    )
    return pa.Table.from_pylist(checks), said


def _checked(exemplar: DrawnExemplar, values: MlpValues, dtype: str) -> dict[str, Any]:
    position, neuron = exemplar.position, exemplar.neuron
    *reads, post = (value[:, neuron].numpy() for value in values.tensors)
    stored_reads = [exemplar.x_in] if values.gate is None else [exemplar.x_gate, exemplar.x_in]
    stored = np.array([exemplar.post, *stored_reads], np.float64)
    found = np.array([post[position], *(read[position] for read in reads)])
    start = exemplar.window_start
    window = np.array(exemplar.window_post, np.float64) * exemplar.window_scale
    there = post[start : start + len(window)]
    unasked, unasked_now = np.isnan(window), np.isnan(there)
    # In bfloat16 rounding may send a position to another expert than in the batch of before.
    skipped = unasked | unasked_now if dtype == "bfloat16" else unasked & unasked_now
    half_step = exemplar.window_scale / 2
    in_window = np.maximum(np.abs(window - there) - half_step, 0)[~skipped].max(initial=0)
    peak_deviation = float((np.abs(stored - found) / np.maximum(np.abs(stored), 1e-3)).max())
    window_deviation = float(in_window / max(127 * exemplar.window_scale, 1e-3))
    # Written so that NaN counts as a mismatch.
    tolerance = TOLERANCES[dtype]
    agree = peak_deviation <= tolerance and window_deviation <= tolerance
    return _row(exemplar, float(found[0]), peak_deviation, window_deviation, agree)


def _row(
    exemplar: DrawnExemplar,
    found_post: float | None = None,
    peak_deviation: float | None = None,
    window_deviation: float | None = None,
    agree: bool = False,
) -> dict[str, Any]:
    return {
        "neuron_id": f"{exemplar.layer}.{exemplar.neuron}",
        "corpus": exemplar.corpus,
        "sign_case": exemplar.sign_case,
        "rank": exemplar.rank,
        "context_id": exemplar.context_id,
        "position": exemplar.position,
        "stored_post": exemplar.post,
        "found_post": found_post,
        "peak_deviation": peak_deviation,
        "window_deviation": window_deviation,
        "agree": agree,
    }
