"""Small catalogs made of parts, with the digests that a load notes, but without a checkpoint."""

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from catalog.store.corpora import CorpusEntry, insert_contexts, register_corpus
from catalog.store.digests import rows_digest
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
from catalog.store.writing import (
    finish_run,
    insert_neuron_columns,
    insert_rows,
    record_loaded,
    register_model,
    register_vocabulary,
    start_run,
    writing,
)
from tests.synthetic import entry, run_start

N_LAYERS, D_MLP = 2, 3
PLACES = [(layer, neuron) for layer in range(N_LAYERS) for neuron in range(D_MLP)]


@dataclass(frozen=True)
class Part:
    """What one catalog holds of an entry.

    `n_stages`: 0 to 2 of weights and vocab. `corpora`: names, each with what its contexts say.
    """

    n_stages: int = 1
    corpora: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None
    weights: str = "folded"
    vocabulary: str = "pieces"
    k: int = 2
    cosine: float = 0.25


def build(path: Path, parts: Mapping[str, Part]) -> Path:
    """Make the catalog with one entry for each alias."""
    path.write_bytes(_empty())
    with writing(path) as connection:
        for alias, part in parts.items():
            add(connection, alias, part)
    return path


@functools.cache
def _empty() -> bytes:
    """A new catalog's file: made once, since its migrations take longer than the parts."""
    with tempfile.TemporaryDirectory() as folder:
        ensure_catalog(Handle(Path(folder) / "empty.duckdb"))
        return (Path(folder) / "empty.duckdb").read_bytes()


def add(connection: duckdb.DuckDBPyConnection, alias: str, part: Part) -> None:
    """Enter and load one part."""
    model = entry(
        alias,
        fingerprint=part.fingerprint or alias,
        weights=part.weights,
        n_layers=N_LAYERS,
        d_mlp=D_MLP,
    )
    model_id = register_model(connection, model)
    if part.n_stages > 0:
        rows = {"neuron": _per_neuron(cos_gate_in=part.cosine, norm_in=1.5)}
        load(connection, model_id, "weights", rows, None, {})
    if part.n_stages > 1 or part.corpora:
        pieces = pa.table(
            {"token_id": range(4), "token": [f"{part.vocabulary}{i}" for i in "abcd"]}
        )
        register_vocabulary(connection, model_id, part.vocabulary, pieces)
    if part.n_stages > 1:
        rows = {"neuron": _per_neuron(vocab_skew=0.5), "top_token": _top_tokens(part.k)}
        load(connection, model_id, "vocab", rows, None, {"top_tokens": part.k})
    for name, text in part.corpora.items():
        corpus_id = _add_corpus(connection, model_id, name, text)
        load(connection, model_id, "activations", _driven(len(text)), corpus_id, {})


def load(
    connection: duckdb.DuckDBPyConnection,
    model_id: int,
    stage: str,
    tables: Mapping[str, pa.Table],
    corpus_id: int | None,
    parameters: Mapping[str, object],
    *,
    finish: bool = True,
) -> int:
    """Load and show the rows of a stage, as an ingest does; returns the run."""
    run_id = start_run(connection, model_id, run_start(stage, **parameters), corpus_id)
    noted = {}
    for table, rows in tables.items():
        if table == "neuron":
            insert_neuron_columns(connection, model_id, run_id, rows)
        else:
            insert_rows(connection, table, run_id, rows)
        found = rows_digest(connection, table, run_id, rows.column_names)
        noted[table] = {**found._asdict(), "columns": rows.column_names}
    record_loaded(connection, run_id, 1)
    if finish:
        finish_run(connection, run_id, tuple(tables), {"rows": noted})
    return run_id


def _per_neuron(**columns: float) -> pa.Table:
    values = {
        name: pa.array([value * (1 + at) for at in range(len(PLACES))], pa.float32())
        for name, value in columns.items()
    }
    return pa.table(
        {
            "layer": pa.array([layer for layer, _ in PLACES], pa.int16()),
            "neuron": pa.array([neuron for _, neuron in PLACES], pa.int32()),
            **values,
        }
    )


def _top_tokens(k: int) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "layer": a,
                "neuron": b,
                "direction": 0,
                "rank": r + 1,
                "token_id": r,
                "score": 1.0 - r,
            }
            for a, b in PLACES
            for r in range(k)
        ]
    )


def _add_corpus(connection: duckdb.DuckDBPyConnection, model_id: int, name: str, text: str) -> int:
    described = CorpusEntry(text, f"{name}.txt", 1, 2, 16, 0, "excluded", {})
    known = connection.execute("select 1 from corpus where digest = $1", [text]).fetchone()
    corpus_id = register_corpus(connection, model_id, name, described)
    if known is None:
        ends = [1, len(text)]
        context = {"context_id": 0, "source_ref": name, "text": text, "token_ids": [0, 1]}
        contexts = pa.Table.from_pylist([{**context, "token_starts": [0, 1], "token_ends": ends}])
        insert_contexts(connection, corpus_id, contexts)
    return corpus_id


def _driven(value: int) -> dict[str, pa.Table]:
    places = [{"layer": layer, "neuron": neuron} for layer, neuron in PLACES]
    case = {"sign_case": "gate+_in+"}
    counts = {"n_positions": 2, "n_in_case": 1, "mean_post": float(value)}
    peak = {"rank": 1, "post": float(value), "x_gate": 1.0, "x_in": 1.0, "context_id": 0}
    at = {"position": 1, "token_id": 1, "next_token_id": None, "window_scale": 1.0}
    rows = {
        "activation_stat": [place | case | counts for place in places],
        "exemplar": [place | case | peak | at | {"window_post": [1, 2]} for place in places],
        "activation_sample": [place | {"scale": 1.0, "post": [value]} for place in places],
        "sample_position": [{"sample": 0, "context_id": 0, "position": 1}],
    }
    return {table: pa.Table.from_pylist(each) for table, each in rows.items()}
