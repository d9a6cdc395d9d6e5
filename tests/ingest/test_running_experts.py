"""Texts, tokens and exemplars read by models of experts, against what their modules compute."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel

import catalog
from tests.ingest.activations.tiny import ListContexts, Oracle, sizes_of
from tests.ingest.experts import EXPERTS, make
from tests.ingest.test_families import LAYER
from tests.support import Answer, query

TEXT = "a class binds a name"


def close(values: object) -> object:
    """Within 1e-5; of a value larger than 1, within 1e-5 of its size."""
    return pytest.approx(values, rel=1e-5, abs=1e-5, nan_ok=True)


@pytest.fixture(scope="module")
def ingested(once: Callable[..., Path]) -> Path:
    return once("experts", make)


@pytest.fixture(scope="module")
def db(ingested: Path) -> Path:
    return ingested / "c.duckdb"


@cache
def computed(folder: Path, token_ids: tuple[int, ...]) -> NDArray[np.float32]:
    """post, gate, in `[t, quantity, layer, neuron]` of a text, by transformers' own experts."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    return Oracle.run(model, ListContexts([token_ids])).values


def ids_of(folder: Path, text: str) -> tuple[int, ...]:
    from transformers import AutoTokenizer

    return tuple(AutoTokenizer.from_pretrained(folder)(text).input_ids)


def as_numbers(values: list[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]


@pytest.mark.parametrize("name", EXPERTS)
def test_a_text_is_read_as_the_model_reads_it(name: str, ingested: Path, db: Path) -> None:
    """Every neuron of a routed expert at every token, NULL where it is not asked."""
    opened = catalog.open(db)
    texts, width = opened.texts(name, device="cpu"), opened.entry(name).sizes.d_expert
    wanted = computed(ingested / name, ids_of(ingested / name, TEXT))[:, :, LAYER]
    routed = wanted[:, 0, 2 * width]
    assert np.isnan(routed).any() and not np.isnan(routed).all()
    for neuron in range(width):
        found = texts.run(TEXT, f"{LAYER}.e2.{neuron}")
        assert found.gate is not None
        expected = wanted[:, :, 2 * width + neuron].T
        for values, own in zip((found.post, found.gate, found.x_in), expected, strict=True):
            assert as_numbers(values) == close(own)


@pytest.mark.parametrize("name", EXPERTS)
def test_the_strongest_are_of_experts_that_are_asked(name: str, ingested: Path, db: Path) -> None:
    rows = catalog.open(db).texts(name, device="cpu").top(TEXT, k=3, by="post").arrow().to_pylist()
    wanted = np.nan_to_num(np.abs(computed(ingested / name, ids_of(ingested / name, TEXT))[:, 0]))
    n_neurons = wanted.shape[2]
    assert {row["position"] for row in rows} == set(range(1, len(wanted)))
    for row in rows:
        best = np.argsort(-wanted[row["position"]].ravel())[row["rank"] - 1]
        assert row["neuron_id"] == "{}.{}".format(*divmod(int(best), n_neurons))


@pytest.mark.parametrize("name", [*EXPERTS, "unasked"])
def test_stored_exemplars_are_computed_anew(
    name: str, db: Path, cli: Callable[..., Answer]
) -> None:
    given = ("--exemplars", 60, "--device", "cpu", "--columns", "neuron_id,agree")
    answer = cli("verify", name, *given, "--format", "csv", "--db", db)
    assert answer.code == 0, answer.out
    assert answer.out.count("true") == 60


def test_an_exemplar_of_another_routing_differs(
    db: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    copy = tmp_path / "c.duckdb"
    copy.write_bytes(db.read_bytes())
    with duckdb.connect(str(copy)) as connection:
        connection.execute(
            "update exemplar "
            "set window_post = list_transform(window_post, lambda p: coalesce(p, 0))"
        )
    answer = cli("verify", "mixtral", "--exemplars", 40, "--device", "cpu", "--db", copy)
    assert answer.code == 8
    assert "What is stored differs: neuron" in answer.err


def test_what_a_token_drives_is_measured_where_experts_are_asked(ingested: Path, db: Path) -> None:
    opened = catalog.open(db)
    rows = opened.firing(" class", "qwen2_moe", k=400, device="cpu").arrow().to_pylist()
    model = AutoModel.from_pretrained(ingested / "qwen2_moe", dtype=torch.float32).eval()
    sizes = sizes_of(model)
    neurons = {f"{at}.{n}" for at in range(3) for n in range(sizes.of_layer(at))}
    assert {row["neuron_id"] for row in rows} == neurons
    contexts = query(
        db,
        "select x.token_ids from context x join model_corpus using (corpus_id) "
        "join model using (model_id) where alias = 'qwen2_moe' order by context_id",
    )
    ((token,),) = query(
        db, "select token_id from tokens where model = 'qwen2_moe' and token = ' class'"
    )
    holding = [tuple(each) for (each,) in contexts if token in each]
    ids = np.concatenate(holding)
    values = np.concatenate([computed(ingested / "qwen2_moe", each) for each in holding])
    counted = ids != 0  # the start token
    for row in rows:
        layer, neuron = map(int, row["neuron_id"].split("."))
        post, gate = values[:, 0, layer, neuron], values[:, 1, layer, neuron]
        for mask, ending in (
            (counted & (ids == token), ""),
            (counted & (ids != token), "_elsewhere"),
        ):
            asked = mask & ~np.isnan(post)
            mean = row[f"mean_post{ending}"]
            assert mean == (close(post[asked].mean()) if asked.any() else None)
            assert row[f"share_firing{ending}"] == pytest.approx((gate[mask] > 0).mean())
        assert (row["selectivity"] is None) == (
            None in (row["mean_post"], row["mean_post_elsewhere"])
        )


def test_ablated_experts_change_what_they_write_to(db: Path) -> None:
    texts = catalog.open(db).texts("unasked", device="cpu")
    never = texts.ablated(TEXT, [f"{LAYER}.e0.{n}" for n in range(24)]).arrow()
    assert set(never["loss_change"].to_pylist()[:-1]) == {0}
    shared = texts.ablated(TEXT, [f"{LAYER}.e5.{n}" for n in range(40)]).arrow()
    assert max(map(abs, shared["loss_change"].to_pylist()[1:-1])) > 1e-4


def test_effects_are_of_every_neuron_once(db: Path) -> None:
    """Also of layers that have fewer neurons than others."""
    rows = catalog.open(db).texts("unasked", device="cpu").attributed(TEXT, " a", k=1000).arrow()
    sql = "select neuron_id from neurons where model = 'unasked'"
    assert sorted(rows["neuron_id"].to_pylist()) == sorted(at for (at,) in query(db, sql))
    effects = dict(zip(rows["neuron_id"].to_pylist(), rows["effect"].to_pylist(), strict=True))
    assert all(effects[f"{LAYER}.{n}"] == 0 for n in range(24))
    assert any(effects[f"2.{n}"] for n in range(48))
