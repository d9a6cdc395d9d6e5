"""SmolLM2-135M through every stage: what is known of it, and what plain NumPy and loops give."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.real.smollm2 import D_MLP, FILE, N_LAYERS, Floats, PlainLoop, Tensors
from tests.support import COMMAND, environment, query

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FILE.exists(), reason="`make test-real` fetches the model"),
]
QUOTES = "29.1089"
"""A neuron that reads curly quotes and takes straight ones away."""
LAYERS = (0, 5, 29)
K = 16
CLASSES = {
    "conditional enrichment": 3851,
    "proportional change": 1886,
    "conditional depletion": 1835,
    "depletion": 372,
    "enrichment": 20,
}
CASES = {"gate+_in+": (1, 1), "gate+_in-": (1, -1), "gate-_in+": (-1, 1), "gate-_in-": (-1, -1)}


def run(*arguments: object) -> str:
    """Run the command, which may take minutes; what it wrote to standard output."""
    done = subprocess.run(
        [COMMAND, *map(str, arguments)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def db(once: Callable[..., Path]) -> Path:
    def make(folder: Path) -> None:
        entry = ("--alias", "smollm2", "--db", folder / "c.duckdb", "--yes")
        run("ingest", FILE, *entry, "--corpus", "demo", "--max-tokens", 20_000)

    return once("smollm2", make) / "c.duckdb"


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return Tensors()


@pytest.fixture(scope="module")
def loop() -> PlainLoop:
    return PlainLoop()


def test_every_stage_ran_and_the_entry_says_what_it_was_read_from(db: Path) -> None:
    stages = query(db, "select stage, status from ingest_runs order by run_id")
    assert stages == [(stage, "finished") for stage in ("weights", "vocab", "roles", "activations")]
    [entry] = query(
        db, "select family, n_layers, d_model, d_mlp, d_vocab, quantization from models"
    )
    assert entry == ("Llama", N_LAYERS, 576, D_MLP, 49_152, "Q4_1")


def test_class_counts(db: Path) -> None:
    counts: dict[str, int] = dict(query(db, "select io_class, count(*) from neurons group by all"))
    n_others = N_LAYERS * D_MLP - sum(CLASSES.values())
    assert counts == {**CLASSES, "orthogonal output": n_others}


def test_medians_by_layer(db: Path) -> None:
    rows = query(db, "select median(cos_in_out) from neurons group by layer order by layer")
    medians = [median for (median,) in rows]
    assert [round(medians[layer], 2) for layer in LAYERS] == [0.04, 0.37, -0.21]
    assert max(medians) == medians[5]
    assert min(medians) == medians[-1]


@pytest.mark.parametrize("layer", range(N_LAYERS))
def test_cosines_and_norms(db: Path, tensors: Tensors, layer: int) -> None:
    names = ("cos_gate_in", "cos_gate_out", "cos_in_out", "norm_gate", "norm_in", "norm_out")
    sql = f"select {', '.join(names)} from neurons where layer = $1 order by neuron"
    vectors = tensors.vectors(layer)
    norms = {name: np.linalg.norm(vector, axis=1) for name, vector in vectors.items()}
    pairs = (("gate", "in"), ("gate", "out"), ("in", "out"))
    cosines = [(vectors[a] * vectors[b]).sum(axis=1) / norms[a] / norms[b] for a, b in pairs]
    expected = np.stack([*cosines, *norms.values()], axis=1)
    assert np.array(query(db, sql, layer)) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("vector", "sign", "first"),
    [("gate", "+", ["”", " “"]), ("in", "-", ['"', "'"]), ("out", "-", ['"', ' "'])],
)
def test_the_token_lists_of_the_quote_neuron(
    db: Path, tensors: Tensors, vector: str, sign: str, first: list[str]
) -> None:
    rows = query(
        db,
        "select token_id, score, token from top_tokens where basis = 'unembed' and layer = 29 "
        "and neuron = 1089 and vector = $1 and sign = $2 order by rank",
        *(vector, sign),
    )
    ids, stored, texts = zip(*rows, strict=True)
    assert list(texts[: len(first)]) == first
    scores = tensors.unembedding() @ tensors.vectors(29)[vector][1089]
    highest = np.sort(scores if sign == "+" else -scores)[::-1][: len(ids)]
    assert np.abs(stored) == pytest.approx(highest, rel=1e-4)
    assert stored == pytest.approx(scores[list(ids)], rel=1e-4)


def test_show_tells_of_the_quotes(db: Path) -> None:
    shown = run("show", QUOTES, "--model", "smollm2", "--db", db)
    assert "orthogonal output" in shown
    assert "”" in shown


def contexts(db: Path) -> dict[int, list[int]]:
    """Token ids of a few contexts: where the quote neuron is strongest, and the first ones."""
    strongest = "select context_id from exemplars where layer = 29 and neuron = 1089 and rank = 1"
    chosen = f"context_id < 2 or context_id in ({strongest})"
    return dict(query(db, f"select context_id, token_ids from context where {chosen}"))


@pytest.fixture(scope="module")
def looped(db: Path, loop: PlainLoop) -> dict[int, list[Floats]]:
    return {context: loop.run(tokens) for context, tokens in contexts(db).items()}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layer", LAYERS)
def test_exemplars(db: Path, looped: dict[int, list[Floats]], layer: int, case: str) -> None:
    """A context's place in a list, or its absence, and the values at its peak."""
    columns = "neuron, context_id, position, x_gate, x_in, post"
    sql = f"select {columns} from exemplars where layer = $1 and sign_case = $2 order by all"
    rows: Floats = np.array(query(db, sql, layer, case), np.float64)
    neurons = rows[:, 0].astype(int)
    # What a context must exceed to be listed: nothing, where the list is not full.
    least = np.full(D_MLP, np.inf)
    np.minimum.at(least, neurons, np.abs(rows[:, 5]))
    least[np.bincount(neurons, minlength=D_MLP) < K] = 0
    sign_gate, sign_in = CASES[case]
    for context, layers in looped.items():
        gate, x_in, post = layers[layer]
        in_case = (gate * sign_gate > 0) & (x_in * sign_in > 0)
        in_case[0] = False  # the start token does not count
        peaks = np.where(in_case, np.abs(post), 0).max(axis=0)
        listed = rows[rows[:, 1] == context]
        neuron, position = listed[:, 0].astype(int), listed[:, 2].astype(int)
        assert np.abs(listed[:, 5]) == pytest.approx(peaks[neuron], rel=1e-3, abs=1e-3)
        at_peak = np.stack([each[position, neuron] for each in (gate, x_in, post)], axis=1)
        assert listed[:, 3:] == pytest.approx(at_peak, rel=1e-3, abs=1e-3)
        others = np.setdiff1d(np.arange(D_MLP), neuron)
        assert (peaks[others] <= least[others] * (1 + 1e-3) + 1e-3).all()


def test_run_gives_what_the_loop_gives(db: Path, loop: PlainLoop) -> None:
    text = "He said “yes”."
    of_neuron = ("--neuron", QUOTES, "--model", "smollm2", "--db", db)
    rows: list[dict[str, Any]] = json.loads(run("run", text, *of_neuron, "--format", "json"))
    post = loop.run(loop.token_ids(text))[29][2][:, 1089]
    assert [row["post"] for row in rows] == pytest.approx(post, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("how", [(), ("--exemplars", 10)])
def test_verify_finds_no_difference(db: Path, how: tuple[object, ...]) -> None:
    run("verify", "smollm2", *how, "--db", db)
