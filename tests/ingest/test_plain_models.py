"""Rows of models without a gate: against float64, through every reader that a gated one has."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.families import FAMILIES
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle
from catalog.taxonomy import PLAIN_IO_CLASSES, PLAIN_SIGN_CASES
from tests.ingest.test_families import LAYER, cosine, expected
from tests.store import combinable
from tests.support import Answer, query
from tests.tiny_checkpoints import build, save_tokenizer

PLAIN = sorted(name for name, family in FAMILIES.items() if not family.mlp.gated)
K = 4


@pytest.fixture(scope="module")
def ingested(once: Callable[..., Path]) -> Path:
    """A folder with a checkpoint of each family, and a catalog of their weights and vocabulary."""

    def make(folder: Path) -> None:
        for name in PLAIN:
            save_tokenizer(build(name, folder / name))
            request = IngestRequest(
                catalog=Handle(folder / "c.duckdb"),
                source=str(folder / name),
                stages=("weights", "vocab"),
                top_tokens=K,
                device="cpu",
            )
            ingest(request, Silent())

    return once("plain-models", make)


@pytest.fixture(scope="module")
def both(once: Callable[..., Path]) -> Path:
    """A catalog with every stage of x, which has a gate, and of y, which has none."""
    return once("combinable", combinable.make) / "together.duckdb"


@pytest.mark.parametrize("name", PLAIN)
def test_cosines_norms_and_class_equal_float64(name: str, ingested: Path) -> None:
    oracle = expected(name, ingested / name, "folded")
    rows = query(
        ingested / "c.duckdb",
        "select cos_in_out, norm_in, norm_out, io_class, cos_gate_in, cos_gate_out, norm_gate, "
        "atypical, flipped from neurons where model = $1 and layer = $2 order by neuron",
        *(name, LAYER),
    )
    in_out = cosine(oracle["in"], oracle["out"])
    np.testing.assert_allclose([row[0] for row in rows], in_out, atol=1e-6)
    for at, vector in ((1, "in"), (2, "out")):
        norms = np.linalg.norm(oracle[vector], axis=1)
        np.testing.assert_allclose([row[at] for row in rows], norms, rtol=1e-6)
    signs = (in_out > 0.5).astype(int) - (in_out < -0.5).astype(int)
    names = {1: "enrichment", 0: "orthogonal output", -1: "depletion"}
    assert [row[3] for row in rows] == [names[sign] for sign in signs.tolist()]
    assert set(names.values()) == set(PLAIN_IO_CLASSES)
    assert {value for row in rows for value in row[4:]} == {None}


@pytest.mark.parametrize("name", PLAIN)
def test_top_tokens_equal_float64(name: str, ingested: Path) -> None:
    oracle = expected(name, ingested / name, "folded")
    listed = query(
        ingested / "c.duckdb",
        "select vector, basis, sign, neuron, list(token_id order by rank) from top_tokens "
        "where model = $1 and layer = $2 group by all order by all",
        *(name, LAYER),
    )
    n_neurons = len(oracle["in"])
    assert len(listed) == 2 * 2 * 2 * n_neurons
    tokens = query(ingested / "c.duckdb", "select token_id from tokens where model = $1", name)
    known = {token_id for (token_id,) in tokens}
    for vector, basis, sign, neuron, token_ids in listed:
        scores = oracle["W_U" if basis == "unembed" else "W_E"] @ oracle[vector][neuron]
        towards = scores if sign == "+" else -scores
        best = sorted(known, key=lambda at: (-towards[at], at))[:K]
        assert token_ids == best


def test_two_sign_cases_and_no_gate_in_any_view(both: Path) -> None:
    cases = query(
        both,
        "select layer, neuron, list(sign_case order by sign_case), sum(frequency) "
        "from activation_stats where model = 'y' group by all order by all",
    )
    assert {tuple(names) for *_, names, _ in cases} == {PLAIN_SIGN_CASES}
    assert all(share == pytest.approx(1) for *_, share in cases)
    for sql in (
        "select count(mean_gate) + count(extreme_gate) from activation_stats where model = 'y'",
        "select count(x_gate) from exemplars where model = 'y'",
        "select count(*) from top_tokens where model = 'y' and vector = 'gate'",
    ):
        assert query(both, sql) == [(0,)]
    assert query(both, "select model, gated from models order by model") == [
        ("x", True),
        ("y", False),
    ]
    signs = query(both, "select distinct sign_case, sign(x_in) from exemplars where model = 'y'")
    assert sorted(signs) == [("in+", 1), ("in-", -1)]


def test_show_and_its_record(both: Path, cli: Callable[..., Answer]) -> None:
    shown = cli("show", "1.3", "--model", "y", "--db", both)
    assert shown.code == 0
    assert "gate" not in shown.out
    assert "in+" in shown.out
    record = json.loads(cli("show", "1.3", "--model", "y", "--json", "--db", both).out)
    assert record["neuron"]["cos_gate_in"] is None
    assert set(record["cases"]) == set(PLAIN_SIGN_CASES)


def test_run_gives_in_and_post(both: Path, cli: Callable[..., Answer]) -> None:
    text = ("run", "class statement", "--model", "y", "--format", "json", "--db", both)
    rows: list[dict[str, Any]] = json.loads(cli(*text, "--neuron", "1.3").out)
    assert set(rows[0]) == {"position", "token", "in", "post"}
    top: list[dict[str, Any]] = json.loads(cli(*text, "--top", "2").out)
    assert {row["gate"] for row in top} == {None}


@pytest.mark.parametrize("arguments", [("--rows",), ("--exemplars", "8")])
def test_verify_agrees(both: Path, arguments: tuple[str, ...], cli: Callable[..., Answer]) -> None:
    assert cli("verify", "y", *arguments, "--db", both).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "1.3", "--canonical"), "y has no gate"),
        (("find", "--vector", "gate", "--token", "a"), "vector gate is about the gate"),
        (("find", "--order", "cos_gate_in"), "cosine cos_gate_in is about the gate"),
        (("find", "--class", "conditional depletion"), "io_class conditional depletion is"),
        (("find", "--atypical"), "atypical is about the gate, and y has none"),
        (("query", "double_checking"), "double_checking is about the gate, and y has none"),
        (("query", "extremes", "-p", "cosine=cos_gate_in"), "cosine cos_gate_in is about"),
        (("query", "similar_neurons", "-p", "neuron=1.3", "-p", "vector=gate"), "vector gate is"),
        (
            ("query", "neurons_firing_on", "-p", "token=a", "-p", "sign_case=gate+_in+"),
            "There is no sign case gate+_in+ in y; there is: in+, in-.",
        ),
        (("query", "roles", "-p", "sign=observed"), "y has none"),
    ],
)
def test_a_question_about_the_gate_says_that_there_is_none(
    arguments: tuple[str, ...], said: str, both: Path, cli: Callable[..., Answer]
) -> None:
    model = ("-p", "model=y") if arguments[0] == "query" else ("--model", "y")
    answer = cli(*arguments, *model, "--db", both)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
