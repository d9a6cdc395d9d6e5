"""Wires and twins against NumPy in float64 (docs/definitions.md, "Neurons together")."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import beta

from catalog.ingest import neighbours
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.engines.choosing import EngineChoice
from catalog.ingest.engines.local import LocalEngine
from catalog.ingest.neuron_vectors import Block, NeuronVectors
from catalog.ingest.progress import Silent
from catalog.ingest.stages import wiring
from catalog.store.handle import Handle
from catalog.store.staging import Staging
from tests import handmade, tiny_checkpoints
from tests.support import Row, public_rows, query

Floats = NDArray[np.float64]
Place = tuple[int, int]
Ask = Callable[[str], list[Row]]
"""Rows of a query over `wires` and `twins`."""

K = 8
N_LAYERS, D_MLP = 4, 40
# Neurons of layer 1 with a vector that has no direction, and one of tiny and one of huge numbers.
ZERO_GATE, ZERO_OUT, NAN_IN, INF_OUT, TINY_NEURON, HUGE_NEURON = 3, 4, 5, 6, 8, 9
NULL = {("gate", 1, ZERO_GATE), ("out", 1, ZERO_OUT), ("in", 1, NAN_IN), ("out", 1, INF_OUT)}
EQUAL = [(layer, neuron) for layer in (1, 2, 3) for neuron in (2, 17, 30, 31, 38, 39)]
"""Neurons whose vectors are the same but for their length, in and out of a kernel's tail."""


class Model(NamedTuple):
    """Unit vectors of all neurons by vector, by (layer, neuron); NaN without direction."""

    units: Mapping[str, Floats]
    layers: NDArray[np.int64]
    neurons: NDArray[np.int64]

    @classmethod
    def of(cls, layers: list[dict[str, Floats]]) -> "Model":
        sizes = [len(layer["out"]) for layer in layers]
        places = [(at, neuron) for at, n in enumerate(sizes) for neuron in range(n)]
        units = {}
        for vector in layers[0]:
            values = np.concatenate([layer[vector] for layer in layers])
            with np.errstate(all="ignore"):
                norms = np.sqrt((values**2).sum(axis=1, keepdims=True))
                units[vector] = values / np.where((norms > 0) & np.isfinite(norms), norms, np.nan)
        at_layer, at_neuron = np.array(places).T
        return cls(units, at_layer, at_neuron)

    @property
    def n(self) -> int:
        return len(self.layers)

    @property
    def floor(self) -> float:
        d_model = self.units["out"].shape[1]
        half = (d_model - 1) / 2
        return float(2 * beta.ppf(1 - 0.5 / self.n, half, half) - 1)

    def number(self, place: Place) -> int:
        (found,) = ((self.layers == place[0]) & (self.neurons == place[1])).nonzero()[0]
        return int(found)

    def cosines(self, first: str, second: str) -> Floats:
        """All by all; NaN where there is none, for a neuron with itself too."""
        found: Floats = self.units[first] @ self.units[second].T
        if first == second:
            np.fill_diagonal(found, np.nan)
        else:
            found[self.layers[:, None] >= self.layers[None]] = np.nan
        return found


def expected_list(cosines: Floats, floor: float) -> list[tuple[int, float]]:
    """The best of one neuron's cosines with all others, which are in the order of places."""
    there = (~np.isnan(cosines)).nonzero()[0]
    # Equal up to rounding is equal: their order is that of the places.
    ranked = sorted(map(int, there), key=lambda at: (-round(abs(float(cosines[at])), 6), at))
    return [(at, float(cosines[at])) for at in ranked[:K] if abs(cosines[at]) > floor]


def stored_lists(ask: Ask, sql: str, model: Model) -> dict[int, list[tuple[int, float]]]:
    """Lists by neuron, of rows (layer, neuron, other_layer, other_neuron, cosine) by rank."""
    found: dict[int, list[tuple[int, float]]] = {}
    for layer, neuron, other_layer, other, cosine in ask(sql):
        own = found.setdefault(model.number((layer, neuron)), [])
        own.append((model.number((other_layer, other)), cosine))
    return found


def same(stored: list[tuple[int, float]], wanted: list[tuple[int, float]], floor: float) -> None:
    """Equal, but that neighbours whose |cosine| is equal in float32 may be in either order."""
    assert len(stored) == len(wanted)
    for (_, value), (_, other) in zip(stored, wanted, strict=True):
        assert abs(value) == pytest.approx(abs(other), abs=2e-6)
    close = {round(abs(value), 4) for _, value in wanted}
    if len(close) == len(wanted):
        assert [at for at, _ in stored] == [at for at, _ in wanted]


def check_all(ask: Ask, model: Model) -> None:
    """Every list of every neuron is what NumPy finds."""
    for vector in model.units:
        cosines = model.cosines(vector, vector)
        lists = stored_lists(
            ask,
            "select layer, neuron, other_layer, other_neuron, cosine from twins "
            f"where vector = '{vector}' order by layer, neuron, rank",
            model,
        )
        for neuron in range(model.n):
            same(lists.get(neuron, []), expected_list(cosines[neuron], -1), -1)
    for reads in model.units:
        if reads == "out":
            continue
        cosines = model.cosines("out", reads)
        ends = ("layer, neuron", "to_layer, to_neuron")
        for own, other, rank, by in (
            (*ends, "rank_to", cosines),
            (*ends[::-1], "rank_from", cosines.T),
        ):
            lists = stored_lists(
                ask,
                f"select {own}, {other}, cosine from wires where reads = '{reads}' "
                f"and {rank} is not null order by {own}, {rank}",
                model,
            )
            for neuron in range(model.n):
                same(lists.get(neuron, []), expected_list(by[neuron], model.floor), model.floor)


def of_weights(weights: NeuronVectors) -> Model:
    layers = range(weights.n_layers)
    blocks = [weights.block(layer, 0, weights.sizes.of_layer(layer)) for layer in layers]
    return Model.of(
        [{v: values.double().numpy() for v, values in block.items()} for block in blocks]
    )


def computed(weights: NeuronVectors, folder: Path) -> Ask:
    """The rows of the stage by itself, without a catalog."""
    folder.mkdir()
    staging = Staging(folder)
    wiring.WiringStage(weights, torch.device("cpu"), 60.0).compute(staging, LocalEngine(), Silent())
    connection = duckdb.connect()
    for view, table in (("wires", "wire"), ("twins", "twin")):
        layers = [staging.read(layer, table) for layer in range(weights.n_layers)]
        connection.register(view, pa.concat_tables(layers))
    return lambda sql: connection.execute(sql).fetchall()


def wired(checkpoint: Path, db: Path, engine: EngineChoice | None = None) -> Path:
    request = IngestRequest(
        catalog=Handle(db),
        source=str(checkpoint),
        alias="tiny",
        stages=("wiring",),
        device="cpu",
        engine=engine or EngineChoice(),
        checkpoint_every_s=0.0,
    )
    ingest(request, Silent())
    return db


def awkward(made: handmade.Tensors) -> None:
    """Vectors without direction, at the ends of float32's range, and equal ones."""
    layer = "model.layers.1.mlp."
    for projection, axis in (("gate_proj", 0), ("up_proj", 0), ("down_proj", 1)):
        first = None
        for at, (number, neuron) in enumerate(EQUAL):
            rows = made[f"model.layers.{number}.mlp.{projection}.weight"]
            rows = rows if axis == 0 else rows.T
            first = rows[neuron].copy() if first is None else first
            rows[neuron] = first * 2.0 ** (at % 3) * (-1) ** at
        rows = made[f"{layer}{projection}.weight"]
        rows = rows if axis == 0 else rows.T
        rows[TINY_NEURON] *= 1e-25
        rows[HUGE_NEURON] *= 1e25
    for number in range(N_LAYERS):
        made[f"model.layers.{number}.post_attention_layernorm.weight"][:] = 1
    made[layer + "gate_proj.weight"][ZERO_GATE] = 0
    made[layer + "down_proj.weight"][:, ZERO_OUT] = 0
    made[layer + "up_proj.weight"][NAN_IN, 2] = np.nan
    made[layer + "down_proj.weight"][1, INF_OUT] = np.inf


class Awkward:
    """The catalog of a handmade checkpoint, and what it is made of."""

    def __init__(self, folder: Path) -> None:
        self.checkpoint, self.db = folder / "checkpoint", folder / "c.duckdb"
        made = handmade.tensors(n_layers=N_LAYERS, d_mlp=D_MLP)
        awkward(made)
        layers = [handmade.vectors(made, layer, "folded") for layer in range(N_LAYERS)]
        self.model = Model.of(layers)


def make_awkward(folder: Path) -> None:
    handmade.save(folder / "checkpoint", n_layers=N_LAYERS, d_mlp=D_MLP, edit=awkward)
    wired(folder / "checkpoint", folder / "c.duckdb")


@pytest.fixture(scope="module")
def made(once: Callable[..., Path]) -> Awkward:
    return Awkward(once("awkward-wiring", make_awkward))


def tiny(model_type: str, folder: Path) -> NeuronVectors:
    checkpoint = tiny_checkpoints.build(model_type, folder / "checkpoint")
    return NeuronVectors(open_checkpoint(str(checkpoint)), "folded")


@pytest.mark.parametrize("model_type", tiny_checkpoints.TINY)
def test_every_list_of_every_family(model_type: str, tmp_path: Path) -> None:
    weights = tiny(model_type, tmp_path)
    check_all(computed(weights, tmp_path / "staged"), of_weights(weights))


def test_every_list_of_awkward_vectors(made: Awkward) -> None:
    check_all(lambda sql: query(made.db, sql), made.model)


def test_equal_vectors_go_by_layer_and_neuron(made: Awkward) -> None:
    for neuron in range(D_MLP):
        for reads in ("gate", "in"):
            readers = query(
                made.db,
                "select to_layer, to_neuron, rank_to from wires where layer = 0 and neuron = $1 "
                "and reads = $2 and rank_to is not null order by rank_to",
                *(neuron, reads),
            )
            equal = [(layer, at) for layer, at, _ in readers if (layer, at) in EQUAL]
            assert equal == EQUAL[: len(equal)]
    first = query(
        made.db,
        "select other_layer, other_neuron from twins where layer = 3 and neuron = 39 "
        "and vector = 'gate' order by rank",
    )
    assert first == EQUAL[:K]


def test_ties_were_really_there(made: Awkward) -> None:
    """Some list is cut in the middle of the equal ones."""
    held = query(
        made.db,
        "select count(*) filter (where (to_layer, to_neuron) in "
        f"({', '.join(map(str, EQUAL))})) as n from wires where rank_to is not null "
        "group by layer, neuron, reads",
    )
    assert any(0 < n < K for (n,) in held) or any(n == K for (n,) in held)
    assert len(EQUAL) > K


def test_what_has_no_direction_has_neither_wires_nor_twins(made: Awkward) -> None:
    for vector, layer, neuron in NULL:
        at = (layer, neuron)
        twins = (
            "select count(*) from twins where vector = $1 and "
            "((layer, neuron) = ($2, $3) or (other_layer, other_neuron) = ($2, $3))"
        )
        assert query(made.db, twins, vector, *at) == [(0,)]
        end = (
            "(layer, neuron)"
            if vector == "out"
            else f"reads = '{vector}' and (to_layer, to_neuron)"
        )
        assert query(made.db, f"select count(*) from wires where {end} = ($1, $2)", *at) == [(0,)]
    assert query(made.db, "select count(*) from twins where isnan(cosine)") == [(0,)]


def test_the_floor_is_exceeded_once_in_as_many_pairs_as_neurons(made: Awkward) -> None:
    ((floor,),) = query(made.db, "select wire_floor from models")
    assert floor == pytest.approx(made.model.floor, rel=1e-9)
    ((weakest,),) = query(made.db, "select min(abs(cosine)) from wires")
    assert weakest > floor


def test_small_tiles_and_layers_that_are_read_again_change_no_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tiny("llama", tmp_path)
    whole = computed(weights, tmp_path / "whole")
    monkeypatch.setitem(neighbours.TILE, "cpu", 7 * weights.d_mlp)
    monkeypatch.setattr(wiring, "HELD_BYTES", 4 * 3 * weights.d_mlp * weights.d_model)
    read: list[int] = []
    blocks = NeuronVectors.blocks

    def noted(
        self: NeuronVectors, layer: int, device: torch.device, **of: int
    ) -> Iterator[tuple[int, Block]]:
        read.append(layer)
        return blocks(self, layer, device, **of)

    monkeypatch.setattr(NeuronVectors, "blocks", noted)
    tiled = computed(weights, tmp_path / "tiled")
    assert read == [2, 0, 1, 1]
    for sql in (
        "select * exclude (cosine) from wires order by all",
        "select * exclude (cosine) from twins order by all",
    ):
        assert whole(sql) == tiled(sql)


@pytest.mark.parametrize("model_type", ["qwen2_moe", "qwen3_moe"])
def test_slabs_that_cut_experts_change_no_list(
    model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a wider shared expert, and after a dense first layer; nothing is held in memory."""
    weights = tiny(model_type, tmp_path)
    monkeypatch.setitem(wiring.SLAB_BYTES, "cpu", 50 * 4 * 3 * weights.d_model)
    monkeypatch.setattr(wiring, "HELD_BYTES", 0)
    check_all(computed(weights, tmp_path / "staged"), of_weights(weights))


class InterruptedAfter(Silent):
    """Presses Ctrl-C when so many layers have been compared."""

    def __init__(self, n: int) -> None:
        self.left, self.begun = n, dict[str, int]()

    def begin(self, title: str, total: int, done: int = 0) -> None:
        self.begun[title] = done

    def advance(self, units: int = 1) -> None:
        if "wiring" in self.begun:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def test_an_interrupted_stage_is_carried_on(made: Awkward, tmp_path: Path) -> None:
    db = tmp_path / "c.duckdb"
    request = IngestRequest(
        catalog=Handle(db),
        source=str(made.checkpoint),
        alias="tiny",
        stages=("wiring",),
        device="cpu",
        checkpoint_every_s=0.0,
    )
    with pytest.raises(KeyboardInterrupt):
        ingest(request, InterruptedAfter(2))
    assert query(db, "select count(*) from wires") == [(0,)]
    seen = InterruptedAfter(100)
    ingest(request, seen)
    # The two longest units were kept: layer 3 with four, layer 2 with three.
    assert seen.begun["wiring"] == 7
    assert public_rows(db) == public_rows(made.db)


@pytest.mark.slow
def test_two_ray_workers_give_the_same_rows(made: Awkward, tmp_path: Path) -> None:
    db = wired(made.checkpoint, tmp_path / "c.duckdb", EngineChoice("ray", None, 2))
    assert public_rows(db) == public_rows(made.db)
