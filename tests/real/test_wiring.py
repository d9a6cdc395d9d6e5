"""SmolLM2-135M's wires and twins against all cosines of three pairs of layers, in float64."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.real.smollm2 import D_MLP, FILE, Floats, Tensors
from tests.real.test_smollm2 import run
from tests.support import Row, query

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FILE.exists(), reason="`make test-real` fetches the model"),
]
PAIRS = ((0, 1), (4, 17), (28, 29))
K = 8
CLOSE = 2e-6
"""What float32 may differ by."""


@pytest.fixture(scope="module")
def db(once: Callable[..., Path]) -> Path:
    def make(folder: Path) -> None:
        entry = ("--alias", "smollm2", "--db", folder / "c.duckdb", "--yes", "--device", "cpu")
        run("ingest", FILE, *entry, "--stages", "wiring")

    return once("smollm2-wiring", make) / "c.duckdb"


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return Tensors()


def cosines(first: Floats, second: Floats) -> Floats:
    units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (first, second)]
    product: Floats = units[0] @ units[1].T
    return product


def bars(db: Path, sql: str, otherwise: float) -> Floats:
    """What a neuron's list asks of a newcomer: its last |cosine|, or `otherwise` if not full."""
    found = np.full(D_MLP, otherwise)
    for neuron, n, weakest in query(db, sql):
        if n == K:
            found[neuron] = weakest
    return found


def agree(stored: list[Row], expected: Floats, rows: Floats, columns: Floats) -> None:
    """The stored rows (i, j, cosine, kept by i, kept by j) are those above either bar."""
    by_row, by_column = (np.zeros(expected.shape, bool) for _ in range(2))
    for i, j, cosine, kept_by_row, kept_by_column in stored:
        assert cosine == pytest.approx(expected[i, j], abs=CLOSE)
        by_row[i, j], by_column[i, j] = kept_by_row, kept_by_column
    for kept, bar in ((by_row, rows[:, None]), (by_column, columns[None])):
        assert kept[np.abs(expected) > bar + CLOSE].all()
        assert (np.abs(expected)[kept] > np.broadcast_to(bar, kept.shape)[kept] - CLOSE).all()


@pytest.mark.parametrize(("layer", "to_layer"), PAIRS)
@pytest.mark.parametrize("reads", ["gate", "in"])
def test_wires(db: Path, tensors: Tensors, layer: int, to_layer: int, reads: str) -> None:
    ((floor,),) = query(db, "select wire_floor from models")
    stored = query(
        db,
        "select neuron, to_neuron, cosine, rank_to is not null, rank_from is not null from wires "
        "where layer = $1 and to_layer = $2 and reads = $3",
        *(layer, to_layer, reads),
    )
    writers, readers = (
        bars(
            db,
            f"select {end}neuron, count(*), min(abs(cosine)) from wires where {end}layer = {at} "
            f"and reads = '{reads}' and {rank} is not null group by all",
            floor,
        )
        for end, at, rank in (("", layer, "rank_to"), ("to_", to_layer, "rank_from"))
    )
    expected = cosines(tensors.vectors(layer)["out"], tensors.vectors(to_layer)[reads])
    agree(stored, expected, writers, readers)


@pytest.mark.parametrize(("layer", "other"), PAIRS)
@pytest.mark.parametrize("vector", ["gate", "in", "out"])
def test_twins(db: Path, tensors: Tensors, layer: int, other: int, vector: str) -> None:
    expected = cosines(tensors.vectors(layer)[vector], tensors.vectors(other)[vector])
    for own, far, values in ((layer, other, expected), (other, layer, expected.T)):
        stored = query(
            db,
            "select neuron, other_neuron, cosine, true, false from twins "
            "where layer = $1 and other_layer = $2 and vector = $3",
            *(own, far, vector),
        )
        bar = bars(
            db,
            "select neuron, count(*), min(abs(cosine)) from twins "
            f"where layer = {own} and vector = '{vector}' group by all",
            -1.0,
        )
        agree(stored, values, bar, np.full(D_MLP, np.inf))
