"""A finished state as Arrow tables, one ablation at a time: the declared columns, no run_id."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from numpy import ndarray

from catalog.ingest.ablation.arms import Ablation, Arm
from catalog.ingest.ablation.bootstrap import difference
from catalog.ingest.ablation.effects import EffectState, quantiles
from catalog.ingest.activations.contexts import ContextReader
from catalog.tables import table_named
from catalog.taxonomy import METRICS, SIGNS

_QUARTILES = (0.25, 0.5, 0.75)


def ablation_tables(
    state: EffectState,
    at: int,
    ablation: Ablation,
    arms: Sequence[Arm],
    reader: ContextReader,
) -> dict[str, pa.Table]:
    """Rows of the ablation at place `at` of the order, by table."""
    own = [(index, arm) for index, arm in enumerate(arms) if arm.ablation == at]
    return {
        "ablation": _of_schema("ablation", [_described(state, ablation, arm) for _, arm in own]),
        "ablation_effect": _of_schema(
            "ablation_effect",
            [
                {"baseline": arm.baseline, "draw": arm.number, "metric": name}
                | _distribution(state, index, metric)
                for index, arm in own
                for metric, name in enumerate(METRICS)
            ],
        ),
        "ablation_difference": _of_schema(
            "ablation_difference", _differences(state, ablation, own)
        ),
        "ablation_position": _of_schema("ablation_position", _positions(state, at, reader)),
    }


def _described(state: EffectState, ablation: Ablation, arm: Arm) -> dict[str, Any]:
    drawn = arm.drawn
    return {
        "baseline": arm.baseline,
        "draw": arm.number,
        "ablation_id": ablation.id,
        "subset": ablation.subset.text,
        "n_neurons": arm.n_neurons,
        "kind": ablation.kind,
        "gate_sign": ablation.gate_sign,
        "post_sign": ablation.post_sign,
        "seed": ablation.seed,
        "n_contexts": state.plan.n_contexts,
        "n_positions": state.n_positions,
        "n_matched": None if drawn is None else drawn.n_matched,
        "n_neighbour": None if drawn is None else drawn.n_neighbour,
        "n_unmatched": None if drawn is None else drawn.n_unmatched,
    }


def _distribution(state: EffectState, arm: int, metric: int) -> dict[str, Any]:
    n, total, squares = (float(each) for each in _by_context(state, arm, metric, 3).sum(0))
    found: dict[str, Any] = dict.fromkeys(("mean", "sd", "min", "q25", "median", "q75", "max"))
    if n > 0:
        mean = total / n
        low, high = state.extreme[arm, metric]
        found |= {"mean": mean, "min": low, "max": high}
        found |= zip(
            ("q25", "median", "q75"),
            quantiles(state.histogram[arm, metric], state.extreme[arm, metric], _QUARTILES),
            strict=True,
        )
        if n > 1:
            found["sd"] = float(np.sqrt(max(0.0, squares - n * mean**2) / (n - 1)))
    return found | {"n_positions": int(n), "n_nonfinite": int(state.nonfinite[arm, metric])}


def _by_context(
    state: EffectState, arm: int, metric: int, n_columns: int
) -> Float64[ndarray, "context column"]:
    """Numbers, sums and sums of squares by context id; always added in this order."""
    found = np.zeros((state.plan.n_contexts, n_columns))
    for context, moments in state.moments.items():
        found[context] = moments[arm, metric, :n_columns]
    return found


def _differences(
    state: EffectState, ablation: Ablation, own: Sequence[tuple[int, Arm]]
) -> list[dict[str, Any]]:
    (subset, _), *draws = own
    rows = []
    for baseline in dict.fromkeys(arm.baseline for _, arm in draws):
        # A draw that found no neuron says nothing of neurons like those of the subset.
        numbers = [at for at, arm in draws if arm.baseline == baseline and arm.neurons]
        for metric, name in enumerate(METRICS):
            sums = [_by_context(state, at, metric, 2) for at in (subset, *numbers)]
            found = (
                difference(sums[0], np.stack(sums[1:]), ablation.seed)._asdict()
                if numbers
                else {"difference": None, "low": None, "high": None}
            )
            rows.append({"baseline": baseline, "metric": name, "n_draws": len(numbers), **found})
    return rows


def _positions(state: EffectState, at: int, reader: ContextReader) -> list[dict[str, Any]]:
    rows = []
    for metric, name in enumerate(METRICS):
        for side, sign in enumerate(SIGNS):
            effects = state.top[at, metric, side]
            places = state.places[at, metric, side][effects != 0].tolist()
            for rank, ((context, position), effect) in enumerate(
                zip(places, effects[effects != 0].tolist(), strict=True), 1
            ):
                (tokens,) = reader.tokens([context])
                last = position + 1 == len(tokens)
                rows.append(
                    {
                        "metric": name,
                        "sign": sign,
                        "rank": rank,
                        "context_id": context,
                        "position": position,
                        "token_id": int(tokens[position]),
                        "next_token_id": None if last else int(tokens[position + 1]),
                        "effect": effect,
                    }
                )
    return rows


_KINDS = {
    "TEXT": pa.string(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
}


def _of_schema(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows with the declared columns of a table, in their types."""
    columns = [each for each in table_named(table).columns if each.name != "run_id"]
    return pa.Table.from_pylist(
        rows, schema=pa.schema([(each.name, _KINDS[each.kind]) for each in columns])
    )
