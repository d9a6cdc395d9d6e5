"""Answers of named queries against tables worked out by hand."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scipy.stats import binomtest

import catalog
from catalog.errors import NotFoundError, UsageError
from catalog.queries import named_query, query_names
from catalog.queries.stages import missing_stages
from catalog.store.handle import Handle
from catalog.store.reading import fetch, reading
from catalog.store.upgrading import ensure_catalog
from catalog.store.writing import (
    finish_run,
    insert_neuron_columns,
    insert_rows,
    register_vocabulary,
    start_run,
    writing,
)
from catalog.taxonomy import DIRECTIONS, Direction, Sign, Vector
from tests import synthetic
from tests.queries.test_named_queries import GIVEN
from tests.support import Answer, query

# (cos_gate_in, cos_gate_out, cos_in_out), functional role, vocab_kurtosis
NEURONS = {
    "0.0": ((0.9, 0.8, 0.7), "prediction", 9.0),  # enrichment
    "0.1": ((0.1, 0.8, 0.7), "prediction", 8.0),  # atypical enrichment
    "0.2": ((0.1, 0.2, 0.7), "partition", 7.0),  # conditional enrichment
    "0.3": ((0.9, 0.2, 0.7), "other", 6.0),  # atypical conditional enrichment
    "1.0": ((-0.9, 0.8, -0.7), "suppression", 5.0),  # depletion
    "1.1": ((0.0, 0.4, 0.1), "suppression", 4.0),  # orthogonal output
    "1.2": ((0.0, 0.3, 0.2), "entropy", 3.0),  # orthogonal output
    "1.3": ((0.0, 0.6, 0.1), "other", 2.0),  # proportional change
}
ROLES = (
    "prediction",
    "suppression",
    "partition",
    "entropy",
    "attention_deactivation",
    "attention_activation",
    "other",
    "total",
)
CONTINGENCY = {
    "typical conditional enrichment": (0, 0, 1, 0, 0, 0, 0, 1),
    "atypical conditional enrichment": (0, 0, 0, 0, 0, 0, 1, 1),
    "typical depletion": (0, 1, 0, 0, 0, 0, 0, 1),
    "typical enrichment": (1, 0, 0, 0, 0, 0, 0, 1),
    "atypical enrichment": (1, 0, 0, 0, 0, 0, 0, 1),
    "orthogonal output": (0, 1, 0, 1, 0, 0, 0, 2),
    "typical proportional change": (0, 0, 0, 0, 0, 0, 1, 1),
    "total": (2, 2, 1, 1, 0, 0, 2, 8),
}


def build_gamma(path: Path) -> None:
    ensure_catalog(Handle(path))
    model = synthetic.entry("gamma", n_layers=2, d_mlp=4)
    model_id = synthetic.load_weights(path, model, {name: row[0] for name, row in NEURONS.items()})
    rows = [
        {
            "layer": int(name[0]),
            "neuron": int(name[2]),
            "functional_role": role,
            "vocab_variance": 0.1,
            "vocab_skew": 1.0,
            "vocab_kurtosis": kurtosis,
            "null_space_share": 0.1,
        }
        for name, (_, role, kurtosis) in NEURONS.items()
    ]
    with writing(path) as connection:
        run_id = start_run(connection, model_id, synthetic.run_start("roles"), None)
        insert_neuron_columns(connection, model_id, run_id, pa.Table.from_pylist(rows))
        finish_run(connection, run_id, ("neuron",), {})
    other = synthetic.entry("delta", n_layers=1, d_mlp=1)
    other_id = synthetic.load_weights(path, other, {"0.0": (0.1, 0.8, 0.7)})
    _load_lists(path, model_id, 1, {("gate", "+"): "ab", ("in", "-"): "bac", ("out", "+"): "de"})
    _load_lists(path, other_id, 0, {("gate", "+"): "ab", ("in", "-"): "c", ("out", "-"): "ed"})


def _load_lists(
    path: Path, model_id: int, neuron: int, lists: dict[tuple[Vector, Sign], str]
) -> None:
    """Top tokens of one neuron of layer 0 in W_U, each token a letter."""
    rows = [
        {
            "layer": 0,
            "neuron": neuron,
            "direction": DIRECTIONS.index(Direction(vector, "unembed", sign)),
            "rank": rank,
            "token_id": ord(token),
            "score": 1.0 / rank,
        }
        for (vector, sign), tokens in lists.items()
        for rank, token in enumerate(tokens, start=1)
    ]
    letters = "abcde"
    with writing(path) as connection:
        pieces = pa.table({"token_id": [ord(each) for each in letters], "token": list(letters)})
        register_vocabulary(connection, model_id, "letters", pieces)
        run_id = start_run(connection, model_id, synthetic.run_start("vocab"), None)
        insert_rows(connection, "top_token", run_id, pa.Table.from_pylist(rows))
        finish_run(connection, run_id, ("top_token",), {})


@pytest.fixture(scope="module")
def gamma(once: Callable[..., Path]) -> Path:
    return once("gamma", lambda folder: build_gamma(folder / "gamma.duckdb")) / "gamma.duckdb"


def _answer(path: Path, name: str, *settings: str) -> list[dict[str, Any]]:
    query = named_query(name)
    rows: list[dict[str, Any]] = fetch(path, query.sql, query.bound(settings)).to_pylist()
    return rows


def test_contingency_is_the_table_worked_out_by_hand(gamma: Path) -> None:
    rows = _answer(gamma, "contingency")
    assert {row["io_class"]: tuple(row[role] for role in ROLES) for row in rows} == CONTINGENCY
    assert [row["io_class"] for row in rows] == list(CONTINGENCY)


def test_contingency_at_another_threshold(gamma: Path) -> None:
    rows = {row["io_class"]: row["total"] for row in _answer(gamma, "contingency", "threshold=1")}
    assert rows == {"orthogonal output": 8, "total": 8}


def test_contingency_by_the_rule_with_other_parameters(gamma: Path) -> None:
    # One partition neuron (equal variances: the first), everything above kurtosis 3.5 is
    # prediction or suppression by the sign of cos_gate_in; 1.1 has cos_gate_in = 0.
    rows = _answer(gamma, "contingency", "kurtosis=3.5")
    assert {role: rows[-1][role] for role in ROLES} == {
        "prediction": 3,
        "suppression": 1,
        "partition": 1,
        "entropy": 0,
        "attention_deactivation": 0,
        "attention_activation": 0,
        "other": 3,
        "total": 8,
    }


def test_the_neurons_of_table_3_get_their_published_class(known: Path) -> None:
    rows = fetch(known, "select neuron_id, io_class from neurons where model = 'alpha'").to_pylist()
    published = {name: io_class for name, (_, io_class) in synthetic.TABLE_3.items()}
    assert {row["neuron_id"]: row["io_class"] for row in rows} == published


def test_shares_come_with_bars(gamma: Path) -> None:
    rows = {row["io_class"]: row for row in _answer(gamma, "classes", "model=gamma")}
    assert rows["orthogonal output"]["share"] == 0.25
    assert rows["orthogonal output"]["bar"].rstrip() == "█████"
    assert rows["enrichment"]["atypical"] == 1


def test_input_manipulators_are_all_but_orthogonal_output(gamma: Path) -> None:
    whole, first, second = _answer(gamma, "input_manipulators", "model=gamma")
    assert (whole["layer"], whole["neurons"], whole["input_manipulators"]) == (None, 8, 6)
    assert whole["of_them_conditional_enrichment"] == pytest.approx(0.3333)
    assert (first["layer"], first["share"], second["share"]) == (0, 1.0, 0.5)


def test_quartiles_and_their_box(gamma: Path) -> None:
    rows = _answer(gamma, "cosine_quartiles", "model=gamma")
    row = next(row for row in rows if row["cosine"] == "in, out" and row["layer"] == 1)
    values = [row[name] for name in ("lowest", "q1", "median", "q3", "highest")]
    assert values == pytest.approx([-0.7, -0.1, 0.1, 0.125, 0.2])
    assert row["box"].index("┃") == 22  # 0.1 on 41 places from -1 to 1
    signed = _answer(gamma, "cosine_quartiles", "absolute=false", "model=gamma")
    lowest = {(row["cosine"], row["layer"]): row["lowest"] for row in signed}
    assert lowest["gate, in", 1] == pytest.approx(-0.9)


def test_clearest_is_the_highest_kurtosis_of_a_class(gamma: Path) -> None:
    rows = _answer(gamma, "clearest")
    assert {row["io_class"]: row["neuron_id"] for row in rows} == {
        "enrichment": "0.0",
        "depletion": "1.0",
        "orthogonal output": "1.1",
    }


@pytest.mark.parametrize(
    ("neuron", "distance", "beyond"),
    [
        ("0.0", 0.2, "proportional change"),  # in, out is the nearer
        ("0.2", 0.2, "orthogonal output"),
        ("1.1", 0.1, "proportional change"),  # gate, out is the nearer
        ("1.3", 0.1, "orthogonal output"),
    ],
)
def test_border_names_the_class_beyond_it(
    gamma: Path, neuron: str, distance: float, beyond: str
) -> None:
    (row,) = _answer(gamma, "borders", f"neuron={neuron}", "model=gamma")
    assert row["distance"] == pytest.approx(distance)
    assert row["class_beyond"] == beyond


def test_cosines_beyond_chance_are_named(known: Path) -> None:
    (row,) = _answer(known, "borders", "neuron=29.4180")
    assert row["beyond_95"] == row["beyond_999"] == "gate, out; in, out"


def test_neurons_that_fire_on_a_token_and_go_on_with_their_own(known: Path) -> None:
    (row,) = _answer(known, "neurons_firing_on", "token= the")
    assert (row["neuron_id"], row["n_exemplars"], row["strongest_post"]) == ("28.4737", 1, 2.0)
    assert _answer(known, "rarely_firing") == []
    (rare,) = _answer(known, "rarely_firing", "below=0.6")
    assert rare["frequency"] == pytest.approx(3 / 6)


def test_detectors_are_named_with_their_tokens(known: Path) -> None:
    (found,) = _answer(known, "detectors")
    assert (found["neuron_id"], found["tokens"]) == ("28.4737", ["界", " again"])
    assert (found["n_fired"], found["n_fired_on"], found["covered"]) == (40, [30, 9], 0.975)
    assert _answer(known, "detectors", "token= again") == [found]
    assert _answer(known, "detectors", "token= the") == []


def test_detectors_are_counted_by_layer(known: Path) -> None:
    counts = [tuple(row.values())[2:] for row in _answer(known, "detectors_by_layer")]
    assert counts == [(28, 2, 0, 0, 0, 1), (31, 1, 1, 0, 0, 0)]


def test_double_checking_lists_the_tokens_that_gate_and_in_share(gamma: Path) -> None:
    (row,) = _answer(gamma, "double_checking")
    assert (row["model"], row["neuron_id"]) == ("gamma", "0.1")
    assert (row["gate_sign"], row["in_sign"], row["n_shared"]) == ("+", "-", 2)
    assert row["tokens"] == ["a", "b"]
    assert _answer(gamma, "double_checking", "threshold=0.05") == []
    assert _answer(gamma, "double_checking", "shared=3") == []


def test_similar_neurons_of_another_model_may_be_flipped(gamma: Path) -> None:
    (row,) = _answer(gamma, "similar_neurons", "neuron=0.1", "model=gamma")
    assert (row["model"], row["neuron_id"], row["flipped"]) == ("delta", "0.0", True)
    assert (row["n_shared"], row["n_own"], row["tokens"]) == (2, 2, ["d", "e"])
    (row,) = _answer(gamma, "similar_neurons", "neuron=0.1", "model=gamma", "vector=gate")
    assert (row["flipped"], row["tokens"]) == (False, ["a", "b"])
    assert _answer(gamma, "similar_neurons", "neuron=0.1", "model=gamma", "among=gamma") == []


def test_similar_neurons_of_one_layer(gamma: Path) -> None:
    asked = ("neuron=0.1", "model=gamma")
    everywhere = _answer(gamma, "similar_neurons", *asked)
    assert _answer(gamma, "similar_neurons", *asked, "layer=0") == everywhere != []
    assert _answer(gamma, "similar_neurons", *asked, "layer=1") == []
    opened = catalog.open(gamma)
    with pytest.raises(NotFoundError, match="2"):
        opened.query("similar_neurons", *asked, "among=gamma", "layer=2")


@pytest.mark.parametrize("name", query_names())
def test_every_query_answers_on_any_catalog(
    name: str, known: Path, gamma: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.duckdb"
    ensure_catalog(Handle(empty))
    query = named_query(name)
    settings = [f"{p.name}={GIVEN[p.name]}" for p in query.parameters if p.required]
    assert query.doc and "--" not in query.doc
    assert all(parameter.doc for parameter in query.parameters)
    for path in (empty, known, gamma):
        rows = _answer(path, name, *settings)
        assert rows == _answer(path, name, *settings)


@pytest.mark.parametrize("threshold", ["1.5", "-0.1", "nan", "half"])
def test_threshold_outside_0_to_1_is_refused(threshold: str) -> None:
    with pytest.raises(UsageError, match="is not a number between 0 and 1"):
        named_query("classes").bound([f"threshold={threshold}"])


def test_missing_stage_names_the_command(
    gamma: Path, known: Path, cli: Callable[..., Answer], tmp_path: Path
) -> None:
    with reading(gamma) as connection:
        assert missing_stages(connection, ("roles",), "gamma", gamma) == []
        (missing,) = missing_stages(connection, ("roles", "activations"), "gamma", gamma)
    assert missing.command.startswith("catalog ingest org/gamma --stages activations")
    answer = cli("query", "contingency", "--model-is-no-option")
    assert answer.code == 2
    answer = cli("query", "contingency", "--db", shutil.copy(known, tmp_path))
    assert answer.code == 0
    assert "catalog ingest org/alpha --stages roles" in answer.err


def test_unknown_model_of_a_query_is_refused(known: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("query", "classes", "-p", "model=alpa", "--db", known)
    assert (answer.code, answer.out) == (3, "")
    assert "Did you mean alpha?" in answer.err


@pytest.mark.parametrize("strongest", [1, 4])
def test_what_predicts_next_ranks_by_the_share_that_is_certain(
    measured: Path, strongest: int
) -> None:
    path = measured / "c.duckdb"
    written = set(
        query(
            path,
            "select layer, neuron, sign, token from top_tokens "
            "where vector = 'out' and basis = 'unembed' and rank <= 16",
        )
    )
    cases: dict[tuple[str, str], list[tuple[int, bool]]] = {}
    for layer, neuron, case, rank, post, after in query(
        path,
        "select layer, neuron, sign_case, rank, post, next_token from exemplars "
        "where next_token is not null",
    ):
        hit = (layer, neuron, "+" if post > 0 else "-", after) in written
        cases.setdefault((f"{layer}.{neuron}", case), []).append((rank, hit))
    expected = {
        key: (sum(hit for _, hit in ranked), len(ranked))
        for key, ranked in cases.items()
        if any(hit for rank, hit in ranked if rank <= strongest)
    }
    rows = _answer(path, "predicts_next", f"strongest={strongest}", "top=16", "k=100000")
    found = {(r["neuron_id"], r["sign_case"]): (r["n_exemplars"], r["n_compared"]) for r in rows}
    assert found == expected and len(expected) > 10
    for row in rows:
        interval = binomtest(row["n_exemplars"], row["n_compared"]).proportion_ci(0.95, "wilson")
        assert row["at_least"] == pytest.approx(interval.low, abs=1e-4)
    certain = [row["at_least"] for row in rows]
    assert certain == sorted(certain, reverse=True)
