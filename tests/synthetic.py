"""A small catalog with known rows in every view, made through the store, without a checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from catalog.stages import SampleCode
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
from catalog.store.writing import (
    ModelEntry,
    RunStart,
    finish_run,
    insert_neuron_columns,
    insert_rows,
    record_loaded,
    register_model,
    register_vocabulary,
    start_run,
    writing,
)
from catalog.taxonomy import DIRECTIONS, METRICS, SIGN_CASES

# Table 3 of the paper.
TABLE_3 = {
    "28.4737": ((0.5290, 0.5048, 0.7060), "enrichment"),
    "28.9766": ((0.4764, 0.4119, 0.5982), "conditional enrichment"),
    "31.9634": ((-0.7164, 0.7218, -0.8542), "depletion"),
    "29.10900": ((0.4988, -0.4992, -0.5775), "conditional depletion"),
    "30.10972": ((-0.4543, 0.5814, -0.4182), "proportional change"),
    "29.4180": ((-0.0272, -0.4057, 0.0669), "orthogonal output"),
}
PIECES = (
    " again",
    " the",
    "\n",
    "\t",
    "<0xE6>",
    "界",
    " ",
    "na\u0308ive",
    "\x1b[31m",
    "[b]bold[/b]",
)
TEXT = "Once again the 界 was \n naïve."
STARTS = (0, 4, 10, 14, 16, 20, 22)
ENDS = (4, 10, 14, 16, 20, 22, 29)


def entry(alias: str, **changed: object) -> ModelEntry:
    """An entry of the shape of OLMo-7B, with whatever is changed."""
    given: dict[str, object] = {
        "alias": alias,
        "source": f"org/{alias}",
        "revision": None,
        "fingerprint": alias,
        "family": "OLMo",
        "activation_fn": "silu",
        "n_layers": 32,
        "d_model": 4096,
        "d_mlp": 11008,
        "d_vocab": 50304,
        "weights": "folded",
        "chance_95": 0.0306,
        "chance_999": 0.0514,
    }
    return ModelEntry(**(given | changed))  # type: ignore[arg-type]


def run_start(stage: str, **parameters: object) -> RunStart:
    """A run of one unit."""
    code: SampleCode | None = "linear" if stage == "activations" else None
    versions = {"neuron-catalog": "0"}
    return RunStart(stage, "cpu", "float32", parameters, versions, 1, 1, sample_code=code)


def neuron_rows(cosines: Mapping[str, tuple[float | None, ...]]) -> pa.Table:
    """Rows of the weights stage for neurons given as layer.neuron."""
    ids = [tuple(map(int, name.split("."))) for name in cosines]
    columns: dict[str, pa.Array] = {
        "layer": pa.array([layer for layer, _ in ids], pa.int16()),
        "neuron": pa.array([neuron for _, neuron in ids], pa.int32()),
    }
    for at, name in enumerate(("cos_gate_in", "cos_gate_out", "cos_in_out")):
        columns[name] = pa.array([each[at] for each in cosines.values()], pa.float32())
    for at, name in enumerate(("norm_gate", "norm_in", "norm_out")):
        norms = [1.5 + at if each[at] is not None else None for each in cosines.values()]
        columns[name] = pa.array(norms, pa.float32())
    return pa.table(columns)


def load_weights(
    path: Path, model: ModelEntry, cosines: Mapping[str, tuple[float | None, ...]]
) -> int:
    """Enter a model and its neurons; returns its id."""
    with writing(path) as connection:
        model_id = register_model(connection, model)
        run_id = start_run(connection, model_id, run_start("weights"), None)
        insert_neuron_columns(connection, model_id, run_id, neuron_rows(cosines))
        record_loaded(connection, run_id, 1)
        finish_run(connection, run_id, ("neuron",), {"null_neurons": 0})
    return model_id


def build(path: Path) -> None:
    """Make the catalog: `alpha` with everything, `beta` with weights alone and some NULLs."""
    ensure_catalog(Handle(path))
    alpha = load_weights(path, entry("alpha"), {name: row[0] for name, row in TABLE_3.items()})
    small = entry("beta", n_layers=2, d_mlp=3, d_model=64, weights="raw", family="Llama")
    nothing = (None, None, None)
    load_weights(
        path,
        small,
        {"0.0": (0.1, 0.2, 0.3), "0.1": nothing, "0.2": (None, 0.9, None), "1.0": nothing}
        | {"1.1": (0.5, -0.5, 0.5), "1.2": (0.9, -0.9, 0.9)},
    )
    _load_vocabulary(path, alpha)
    _load_activations(path, alpha)
    _load_effects(path, alpha)
    _load_descriptions(path, alpha)


def _load_descriptions(path: Path, model_id: int) -> None:
    said = {"layer": 28, "neuron": 4737, "source_key": "k", "explainer": None, "scorer": None}
    rows = [
        {**said, "sign_case": "any", "description": "says again", "source": "hand", "score": None},
        {**said, "sign_case": "+", "description": "[b]repeats[/b]", "source": "t", "score": 0.5},
    ]
    with writing(path) as connection:
        run_id = start_run(connection, model_id, run_start("descriptions"), None)
        insert_rows(connection, "description", run_id, pa.Table.from_pylist(rows))
        finish_run(connection, run_id, ("description",), {})


def _load_vocabulary(path: Path, model_id: int) -> None:
    rows = [
        {
            "layer": 28,
            "neuron": 4737,
            "direction": at,
            "rank": rank,
            "token_id": (at + rank) % len(PIECES),
            "score": (1.0 if direction.sign == "+" else -1.0) * (4.0 - rank),
        }
        for at, direction in enumerate(DIRECTIONS)
        for rank in range(1, 4)
    ]
    moments = {"vocab_variance": 0.0002, "vocab_skew": 1.25, "vocab_kurtosis": 3.5}
    with writing(path) as connection:
        run_id = start_run(connection, model_id, run_start("vocab", top_tokens=3), None)
        pieces = pa.table({"token_id": range(len(PIECES)), "token": list(PIECES)})
        register_vocabulary(connection, model_id, "digest", pieces)
        ids = connection.execute("select layer, neuron from neuron where run_id = 1").fetchall()
        neurons = [{"layer": a, "neuron": b, **moments} for a, b in ids]
        insert_neuron_columns(connection, model_id, run_id, pa.Table.from_pylist(neurons))
        insert_rows(connection, "top_token", run_id, pa.Table.from_pylist(rows))
        finish_run(connection, run_id, ("neuron", "top_token"), {"unlisted_tokens": 0})


def _load_activations(path: Path, model_id: int) -> None:
    with writing(path) as connection:
        _load_corpus(connection, model_id)
        run_id = start_run(connection, model_id, run_start("activations"), 1)
        tables = {
            "activation_stat": [_statistics(case, at) for at, case in enumerate(SIGN_CASES)],
            "exemplar": [_exemplar(rank) for rank in (1, 2)],
            "activation_sample": [
                {"layer": 28, "neuron": 4737, "scale": 0.5, "post": [4, -2]},
            ],
            "sample_position": [
                {"sample": at, "context_id": 0, "position": at + 1} for at in range(2)
            ],
        }
        for table, rows in tables.items():
            insert_rows(connection, table, run_id, pa.Table.from_pylist(rows))
        finish_run(connection, run_id, tuple(tables), {})


def _load_effects(path: Path, model_id: int) -> None:
    """Attributions, detectors, and two ablations of which the second has no baseline."""
    with writing(path) as connection:
        run_id = start_run(connection, model_id, run_start("attribution"), 1)
        rows: list[dict[str, Any]] = [
            {"layer": 28, "neuron": 4737, "effect": 0.25, "magnitude": 0.5}
        ]
        insert_rows(connection, "attribution", run_id, pa.Table.from_pylist(rows))
        finish_run(connection, run_id, ("attribution",), {})
        run_id = start_run(connection, model_id, run_start("detectors"), 1)
        detector = {"layer": 28, "neuron": 4737, "token_ids": [5, 0], "n_fired_on": [30, 9]}
        rows = [
            detector | {"n_fired": 40},
            {"layer": 28, "neuron": 9766, "n_fired": 500},
            {"layer": 31, "neuron": 9634, "n_fired": 0},
        ]
        insert_rows(connection, "detector", run_id, pa.Table.from_pylist(rows))
        finish_run(connection, run_id, ("detector",), {})
        for at, baselines in enumerate((("layer", "frequency"), ())):
            tables = _ablation_rows(f"a{at}", baselines)
            start = replace(run_start("ablation"), subject=f"a{at}")
            run_id = start_run(connection, model_id, start, 1)
            for table, each in tables.items():
                if each:
                    insert_rows(connection, table, run_id, pa.Table.from_pylist(each))
            finish_run(connection, run_id, tuple(tables), {})


def _ablation_rows(ablation_id: str, baselines: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Rows by table; effects of the draws grow with their number."""
    arms = [("none", 0), *((baseline, draw) for baseline in baselines for draw in (1, 2))]
    said = {"ablation_id": ablation_id, "subset": "depletion", "n_neurons": 2, "kind": "zero"}
    counts = {"seed": 0, "n_contexts": 1, "n_positions": 6, "n_matched": 2, "n_unmatched": 0}
    spread = {"n_positions": 6, "n_nonfinite": 0, "sd": 0.5, "min": -1.0, "max": 2.0}
    return {
        "ablation": [
            {"baseline": baseline, "draw": draw, **said, **counts} for baseline, draw in arms
        ],
        "ablation_effect": [
            {"baseline": baseline, "draw": draw, "metric": metric, **spread}
            | {"mean": 0.5 - draw / 8 + at, "q25": -0.25, "median": 0.0, "q75": 0.75 + at}
            for baseline, draw in arms
            for at, metric in enumerate(METRICS)
        ],
        "ablation_difference": [
            {"baseline": baseline, "metric": metric, "n_draws": 2}
            | {"difference": 0.1875, "low": 0.125, "high": 0.25}
            for baseline in baselines
            for metric in METRICS
        ],
        "ablation_position": [
            {"metric": "loss", "sign": "+", "rank": 1, "context_id": 0, "position": 2}
            | {"token_id": 1, "next_token_id": 5, "effect": 2.0}
        ],
    }


def _load_corpus(connection: duckdb.DuckDBPyConnection, model_id: int) -> None:
    connection.execute(
        "insert into corpus values (1, 'd1', 'web.jsonl', 1, 7, 1024, 0, 'excluded', '{}')"
    )
    connection.execute("insert into model_corpus values ($1, 1, 'web')", [model_id])
    connection.execute(
        "insert into context values (1, 0, 'page 1', $1, $2, $3, $4)",
        [TEXT, [0, 0, 1, 5, 6, 2, 7], list(STARTS), list(ENDS)],
    )


def _statistics(case: str, at: int) -> dict[str, object]:
    never = case == "gate-_in-"
    names = ("mean_post", "extreme_post", "mean_gate", "extreme_gate", "mean_in", "extreme_in")
    values = {name: None if never else 0.25 * (i + 1) for i, name in enumerate(names)}
    counts = {"n_positions": 6, "n_in_case": 0 if never else at + 1}
    return {"layer": 28, "neuron": 4737, "sign_case": case, **counts, **values}


def _exemplar(rank: int) -> dict[str, object]:
    return {
        "layer": 28,
        "neuron": 4737,
        "sign_case": "gate+_in+",
        "rank": rank,
        "post": 3.0 - rank,
        "x_gate": 1.5,
        "x_in": 1.0,
        "context_id": 0,
        "position": 2 * rank,
        "token_id": rank,
        "next_token_id": 2 if rank == 1 else None,
        "window_scale": 2 / 127,
        "window_post": [0, 5, 127, -40, 0, 12, 3],
    }
