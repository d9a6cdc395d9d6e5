"""Rows of the stages weights and vocab, against NumPy in float64 (docs/definitions.md)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle
from catalog.taxonomy import WeightKind
from tests import handmade
from tests.support import Row, query

Floats = NDArray[np.float64]

K = 5
KINDS: tuple[WeightKind, ...] = ("folded", "raw")
TIED = (2, 11, 30, 31, 48, 55)  # equal columns of W_U and W_E, in and out of a kernel's tail
ZERO_TOKEN = 20
# Neurons of layer 1 with a vector that has no direction.
ZERO_GATE, ZERO_OUT, NAN_IN, INF_OUT = 3, 4, 5, 6
BAD = {"gate": {ZERO_GATE}, "in": {NAN_IN}, "out": {ZERO_OUT, INF_OUT}}
TINY_NEURON, HUGE_NEURON = 8, 9
PAIRS = {
    "cos_gate_in": ("gate", "in"),
    "cos_gate_out": ("gate", "out"),
    "cos_in_out": ("in", "out"),
}


def awkward(made: handmade.Tensors) -> None:
    """Equal and zero token vectors, and neurons without direction or at the end of the range."""
    for name in ("lm_head.weight", "model.embed_tokens.weight"):
        made[name][list(TIED)] = made[name][TIED[0]] * 3
    made["model.embed_tokens.weight"][ZERO_TOKEN] = 0
    layer = "model.layers.1.mlp."
    made[layer + "gate_proj.weight"][ZERO_GATE] = 0
    made[layer + "down_proj.weight"][:, ZERO_OUT] = 0
    made[layer + "up_proj.weight"][NAN_IN, 2] = np.nan
    made[layer + "down_proj.weight"][1, INF_OUT] = np.inf
    for projection, axis in (("gate_proj", 0), ("up_proj", 0), ("down_proj", 1)):
        rows = made[f"{layer}{projection}.weight"]
        rows = rows if axis == 0 else rows.T
        rows[TINY_NEURON] *= 1e-25
        rows[HUGE_NEURON] *= 1e25


class Ingested:
    """The catalog and the tensors it came from."""

    def __init__(self, folder: Path) -> None:
        self.db = folder / "c.duckdb"
        self.tensors = handmade.tensors()
        awkward(self.tensors)

    def neurons(self, kind: str, *names: str) -> dict[tuple[int, int], Row]:
        rows = query(
            self.db, f"select layer, neuron, {', '.join(names)} from neurons where model = $1", kind
        )
        return {(layer, neuron): tuple(rest) for layer, neuron, *rest in rows}

    def top(
        self, kind: str, basis: str, vector: str, sign: str
    ) -> dict[tuple[int, int], list[Row]]:
        rows = query(
            self.db,
            "select layer, neuron, rank, token_id, token, score from top_tokens "
            "where model = $1 and basis = $2 and vector = $3 and sign = $4 order by all",
            *(kind, basis, vector, sign),
        )
        lists: dict[tuple[int, int], list[Row]] = {}
        for layer, neuron, *rest in rows:
            lists.setdefault((layer, neuron), []).append(tuple(rest))
        return lists


def make(folder: Path) -> None:
    handmade.save(folder / "checkpoint", edit=awkward)
    for kind in KINDS:
        request = IngestRequest(
            catalog=Handle(folder / "c.duckdb"),
            source=str(folder / "checkpoint"),
            alias=kind,
            weights=kind,
            stages=("weights", "vocab"),
            top_tokens=K,
            device="cpu",
        )
        ingest(request, Silent())


@pytest.fixture(scope="module")
def ingested(once: Callable[..., Path]) -> Ingested:
    return Ingested(once("stage-rows", make))


def lengths(vectors: Floats) -> Floats:
    squared: Floats = (vectors**2).sum(axis=1)
    return np.sqrt(squared)


def is_bad(layer: int, neuron: int, *vectors: str) -> bool:
    return layer == 1 and any(neuron in BAD[vector] for vector in vectors)


def every_neuron() -> list[tuple[int, int]]:
    return [(a, b) for a in range(handmade.N_LAYERS) for b in range(handmade.D_MLP)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PAIRS)
def test_cosines(ingested: Ingested, kind: str, name: str) -> None:
    shown = ingested.neurons(kind, name)
    assert sorted(shown) == every_neuron()
    for layer in range(handmade.N_LAYERS):
        vectors = handmade.vectors(ingested.tensors, layer, kind)
        first, second = (vectors[each] for each in PAIRS[name])
        with np.errstate(all="ignore"):
            expected = (first * second).sum(axis=1) / lengths(first) / lengths(second)
        for neuron, value in enumerate(expected):
            (stored,) = shown[layer, neuron]
            if is_bad(layer, neuron, *PAIRS[name]):
                assert stored is None
            else:
                assert stored == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vector", BAD)
def test_norms(ingested: Ingested, kind: str, vector: str) -> None:
    shown = ingested.neurons(kind, f"norm_{vector}")
    for layer, neuron in every_neuron():
        own = handmade.vectors(ingested.tensors, layer, kind)[vector][neuron]
        (stored,) = shown[layer, neuron]
        if np.isfinite(own).all():
            assert stored == pytest.approx(np.linalg.norm(own), rel=1e-6)
        else:
            assert stored is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_neuron_without_direction_has_no_class_and_is_counted(
    ingested: Ingested, kind: str
) -> None:
    shown = ingested.neurons(kind, "io_class", "atypical")
    bad = {at for at in every_neuron() if is_bad(*at, "gate", "in", "out")}
    assert {at for at, (io_class, _) in shown.items() if io_class is None} == bad
    assert {at for at, (_, atypical) in shown.items() if atypical is None} == bad
    counted = query(
        ingested.db,
        "select (notes->>'null_neurons')::int from ingest_runs "
        "where model = $1 and stage = 'weights'",
        kind,
    )
    assert counted == [(len(bad),)]


def test_the_class_survives_scaling_of_a_vector(ingested: Ingested, tmp_path: Path) -> None:
    def scaled(made: handmade.Tensors) -> None:
        awkward(made)
        for layer in range(handmade.N_LAYERS):
            made[f"model.layers.{layer}.mlp.gate_proj.weight"] *= 0.125
            made[f"model.layers.{layer}.mlp.up_proj.weight"] *= 8
            made[f"model.layers.{layer}.mlp.down_proj.weight"] *= 0.5

    handmade.save(tmp_path / "scaled", edit=scaled)
    db = tmp_path / "scaled.duckdb"
    request = IngestRequest(
        catalog=Handle(db),
        source=str(tmp_path / "scaled"),
        alias="raw",
        weights="raw",
        stages=("weights",),
        device="cpu",
    )
    ingest(request, Silent())
    sql = "select layer, neuron, io_class, atypical, cos_gate_in from neurons where model = 'raw'"
    assert sorted(query(db, sql), key=str) == sorted(query(ingested.db, sql), key=str)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_over_the_vocabulary(ingested: Ingested, kind: str) -> None:
    shown = ingested.neurons(kind, "vocab_variance", "vocab_skew", "vocab_kurtosis")
    tokens = handmade.basis(ingested.tensors, "unembed", kind)
    tokens = tokens[lengths(tokens) > 0]
    for layer, neuron in every_neuron():
        if is_bad(layer, neuron, "out"):
            assert shown[layer, neuron] == (None, None, None)
            continue
        out = handmade.vectors(ingested.tensors, layer, kind)["out"][neuron]
        cosines = tokens @ out / lengths(tokens) / np.linalg.norm(out)
        z = (cosines - cosines.mean()) / cosines.std(ddof=1)
        expected = (cosines.var(ddof=1), (z**3).mean(), (z**4).mean() - 3)
        assert shown[layer, neuron] == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("basis", ["unembed", "embed"])
@pytest.mark.parametrize("vector", BAD)
@pytest.mark.parametrize("sign", ["+", "-"])
def test_top_tokens(ingested: Ingested, kind: str, basis: str, vector: str, sign: str) -> None:
    shown = ingested.top(kind, basis, vector, sign)
    tokens = handmade.basis(ingested.tensors, basis, kind)
    usable = [at for at in every_neuron() if not is_bad(*at, vector)]
    assert sorted(shown) == usable
    for layer, neuron in usable:
        own = handmade.vectors(ingested.tensors, layer, kind)[vector][neuron]
        scores = tokens @ own
        # Equal vectors have equal scores, whatever the rounding: ties go to the lower id.
        scores[list(TIED)] = scores[TIED[0]]
        towards = scores if sign == "+" else -scores
        expected = sorted(handmade.LISTED, key=lambda at: (-towards[at], at))[:K]
        ranks, ids, texts, listed = zip(*shown[layer, neuron], strict=True)
        assert ranks == tuple(range(1, K + 1))
        assert list(ids) == expected
        assert list(texts) == [f" w{at}" for at in expected]
        assert listed == pytest.approx(scores[expected], rel=1e-4, abs=1e-6 * np.abs(scores).max())


def test_ties_were_really_there(ingested: Ingested) -> None:
    """Some list holds several of the equal tokens, and some cuts through them."""
    lists = [ids(rows) for rows in ingested.top("folded", "unembed", "gate", "+").values()]
    lists += [ids(rows) for rows in ingested.top("folded", "unembed", "in", "+").values()]
    held = [len(set(TIED) & set(each)) for each in lists]
    assert any(count > 1 for count in held)
    assert any(0 < count < len(TIED) for count in held)


def ids(rows: list[Row]) -> list[int]:
    return [row[1] for row in rows]


def test_the_tokens_that_the_tokenizer_lacks_are_counted(ingested: Ingested) -> None:
    counted = query(
        ingested.db,
        "select distinct (notes->>'unlisted_tokens')::int from ingest_runs where stage = 'vocab'",
    )
    assert counted == [(handmade.D_VOCAB - len(handmade.LISTED),)]


def test_more_tokens_than_there_are_lists_them_all(tmp_path: Path) -> None:
    handmade.save(tmp_path / "checkpoint")
    db = tmp_path / "c.duckdb"
    request = IngestRequest(
        catalog=Handle(db),
        source=str(tmp_path / "checkpoint"),
        weights="raw",
        stages=("weights", "vocab"),
        top_tokens=1000,
        device="cpu",
    )
    ingest(request, Silent())
    rows = query(
        db,
        "select count(*), count(distinct token_id), max(rank) from top_tokens "
        "group by model, layer, neuron, vector, basis, sign",
    )
    assert set(rows) == {(len(handmade.LISTED),) * 3}
