"""A finished state as Arrow tables, layer by layer: the columns of `catalog.schema`, no run_id."""

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int, Num, Shaped
from numpy import ndarray
from torch import Tensor

from catalog.ingest.activations.contexts import SampledPositions, WholeContextReader
from catalog.ingest.activations.peaks import NOT_ASKED
from catalog.ingest.activations.reading import EMPTY, SUM_STEP, case_signs, context_of
from catalog.ingest.activations.sample_code import logarithmic
from catalog.ingest.activations.state import ActivationState
from catalog.taxonomy import WINDOW_AFTER, WINDOW_BEFORE, sign_cases


def _rows(x: Shaped[Tensor, "case n *rest"]) -> Shaped[ndarray, "n_case *rest"]:
    """One row per (neuron, case), neurons first."""
    return x.transpose(0, 1).flatten(0, 1).cpu().numpy()


def _neuron_columns(
    state: ActivationState, layer: int, rows: Int[ndarray, " r"]
) -> dict[str, pa.Array]:
    """layer, neuron and sign_case of rows numbered neuron * n_cases + case."""
    names = sign_cases(gated=state.plan.gated)
    cases = pa.DictionaryArray.from_arrays((rows % len(names)).astype(np.int8), list(names))
    return {
        "layer": pa.array(np.full(len(rows), layer, np.int16)),
        "neuron": pa.array((rows // len(names)).astype(np.int32)),
        "sign_case": cases.cast(pa.string()),
    }


def _of_layer(state: ActivationState, layer: int) -> slice:
    """The neurons that the layer has, of as many as the largest."""
    return slice(state.plan.sizes.of_layer(layer))


def _n_routed(state: ActivationState, layer: int) -> pa.Array:
    """Positions routed to the expert of each row's neuron; NULL in dense layers."""
    sizes, n_cases = state.plan.sizes, state.plan.n_cases
    if state.asked is None or sizes.is_dense(layer):
        return pa.nulls(n_cases * sizes.of_layer(layer), pa.int64())
    asked = state.asked[layer, _of_layer(state, layer)].cpu().numpy()
    return pa.array(np.repeat(asked, n_cases))


def stat_table(state: ActivationState, layer: int) -> pa.Table:
    """Rows of `activation_stat`, sorted by neuron and sign case; NULL where a case never occurs."""
    there = _of_layer(state, layer)
    count = _rows(state.count[layer][:, there])
    never = count == 0

    def column(values: Num[ndarray, " r"]) -> pa.Array:
        return pa.array(values.astype(np.float32), mask=never)

    # [n * case, quantity]; quantities are post and reads
    total = state.total[layer][..., there]
    means = _rows(total.movedim(0, -1)) * SUM_STEP / np.maximum(count, 1)[:, None]
    signs = np.tile(case_signs(gated=state.plan.gated), (total.shape[-1], 1))
    extreme = state.extreme[layer][..., there]
    extremes = [_rows(x) * signs[:, at] for at, x in enumerate(extreme)]
    gate = dict.fromkeys(("mean_gate", "extreme_gate"), pa.nulls(len(count), pa.float32()))
    if state.plan.gated:
        gate = {"mean_gate": column(means[:, 1]), "extreme_gate": column(extremes[0])}
    return pa.table(
        _neuron_columns(state, layer, np.arange(len(count)))
        | {
            "n_positions": pa.array(np.full(len(count), state.n_positions, np.int64)),
            "n_in_case": pa.array(count),
            "mean_post": column(means[:, 0]),
            "extreme_post": column(_rows(state.peak[layer, :, there, 0, 0])),
            **gate,
            "mean_in": column(means[:, -1]),
            "extreme_in": column(extremes[-1]),
            "n_routed": _n_routed(state, layer),
        }
    )


def exemplar_table(state: ActivationState, layer: int, reader: WholeContextReader) -> pa.Table:
    """Rows of `exemplar`, sorted by neuron, sign case and rank; none for a case that never occurs.

    `reader` gives the tokens at and after the peaks, so it must be the corpus of the pass.
    """
    there = _of_layer(state, layer)
    key = _rows(state.key[layer][:, there])
    row, rank = (key != EMPTY).nonzero()
    peak = _rows(state.peak[layer][:, there])[row, rank]
    position = _rows(state.position[layer][:, there])[row, rank]
    context = _rows(context_of(state.key[layer][:, there]))[row, rank].astype(np.int32)
    length = reader.lengths[context]
    token, following = _tokens_at(reader, context, position)
    offsets = np.arange(-WINDOW_BEFORE, WINDOW_AFTER + 1)
    steps = position[:, None] + offsets
    no_gate = pa.nulls(len(row), pa.float32())
    inside = (steps >= 0) & (steps < length[:, None])
    return pa.table(
        _neuron_columns(state, layer, row)
        | {
            "rank": pa.array((rank + 1).astype(np.int16)),
            "post": pa.array(peak[:, 0]),
            "x_gate": pa.array(peak[:, 1]) if state.plan.gated else no_gate,
            "x_in": pa.array(peak[:, -1]),
            "context_id": pa.array(context),
            "position": pa.array(position),
            "token_id": pa.array(token),
            "next_token_id": pa.array(following, mask=following < 0),
            "window_scale": pa.array(_rows(state.scale[layer][:, there])[row, rank]),
            "window_post": _lists(_rows(state.window[layer][:, there])[row, rank], inside),
        }
    )


def _tokens_at(
    reader: WholeContextReader, context: Int[ndarray, " r"], position: Int[ndarray, " r"]
) -> tuple[Int[ndarray, " r"], Int[ndarray, " r"]]:
    """The token at each place, and the document's next one, -1 at its end; both int32."""
    if len(context) == 0:
        return context, context
    unique, index = np.unique(context, return_inverse=True)
    # The document's next token stands behind each context, so that position + 1 always exists.
    ends = reader.next_token_ids[unique, None]
    pairs = zip(reader.tokens(unique.tolist()), ends, strict=True)
    parts = [part for pair in pairs for part in pair]
    starts = np.cumsum(np.concatenate([[0], reader.lengths[unique] + 1]))[index]
    flat = np.concatenate(parts).astype(np.int32)
    return flat[starts + position], flat[starts + position + 1]


def _lists(values: Int[ndarray, "r w"], inside: Bool[ndarray, "r w"]) -> pa.ListArray:
    """Each row's values that are `inside`, as a list; NULL where an expert was not asked."""
    offsets = np.concatenate([[0], np.cumsum(inside.sum(1))]).astype(np.int32)
    found = values[inside]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(found, mask=found == NOT_ASKED))


def sample_table(state: ActivationState, layer: int) -> pa.Table:
    """Rows of `activation_sample`, sorted by neuron; not finite values read 0.

    `NOT_ASKED` where an expert was not asked, which reads NULL.
    """
    kept = state.sample[layer, :, _of_layer(state, layer)].float().T  # [n, s]
    post = kept.nan_to_num(0.0, 0.0, 0.0)
    scale, values = logarithmic(post)
    if not state.plan.sizes.is_dense(layer):
        values[kept.isnan()] = NOT_ASKED
    n, s = post.shape
    offsets = pa.array(np.arange(0, n * s + 1, s, dtype=np.int32) if s else np.zeros(n + 1, "i4"))
    return pa.table(
        {
            "layer": pa.array(np.full(n, layer, np.int16)),
            "neuron": pa.array(np.arange(n, dtype=np.int32)),
            "scale": pa.array(scale.cpu().numpy()),
            "post": pa.ListArray.from_arrays(offsets, pa.array(values.flatten().cpu().numpy())),
        }
    )


def sample_position_table(samples: SampledPositions) -> pa.Table:
    """Rows of `sample_position`, sorted by sample."""
    return pa.table(
        {
            "sample": pa.array(np.arange(len(samples.positions), dtype=np.int16)),
            "context_id": pa.array(samples.context_ids),
            "position": pa.array(samples.positions),
        }
    )
