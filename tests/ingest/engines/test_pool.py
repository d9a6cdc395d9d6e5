"""Ray actors as the engine uses them, on one small cluster: deaths, refusals, what does not fit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from catalog.errors import CatalogError, CheckpointError, EnvironmentFault, UsageError, command_line
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.engines.choosing import EngineChoice, open_engine
from catalog.ingest.engines.pool import DEATHS_ALLOWED, Pool
from catalog.ingest.engines.ray_engine import RayEngine, cluster
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Silent
from catalog.ingest.stages.stage import LayerUnit
from catalog.ingest.stages.weights import WeightsStage
from tests import tiny_checkpoints
from tests.ingest.engines.deadly import Deadly, Unmakable


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with cluster(None, 2):
        yield Pool(1, {"num_cpus": 1}, Silent())


@pytest.mark.slow
def test_work_that_kills_its_workers_is_named(pool: Pool) -> None:
    found: list[int] = []
    pool.set_to(Deadly)
    with pytest.raises(EnvironmentFault, match=f"^{DEATHS_ALLOWED} workers died"):
        found.extend(result for _, result in pool.each([*range(5), "die"]))
    assert sorted(found) == list(range(5))


@pytest.mark.slow
def test_workers_that_cannot_be_made_are_named(pool: Pool) -> None:
    pool.set_to(Unmakable)
    with pytest.raises(EnvironmentFault, match=f"^{DEATHS_ALLOWED} workers died"):
        pool.started()


@pytest.mark.slow
def test_an_error_of_ours_arrives_as_it_was(pool: Pool) -> None:
    pool.set_to(Deadly)
    with pytest.raises(CheckpointError) as refused:
        list(pool.each([1, "refuse"]))
    assert str(refused.value) == "a clear sentence"


@pytest.mark.slow
def test_what_is_left_over_is_dropped_when_the_work_changes(pool: Pool) -> None:
    pool.set_to(Deadly)
    assert next(pool.each(range(100))) == (0, 0)
    pool.set_to(Deadly)
    assert sorted(pool.each("abc")) == [(each, each) for each in "abc"]


@pytest.mark.slow
def test_a_checkpoint_that_a_node_has_not(pool: Pool, tmp_path: Path) -> None:
    pool.close()
    engine = RayEngine(1, Silent())
    folder = tiny_checkpoints.build("llama", tmp_path / "here")
    weights = NeuronVectors(open_checkpoint(str(folder)), "folded")
    stage = WeightsStage(weights, engine.device("auto"))
    here = stage.compute_unit(LayerUnit(1))
    assert [dict(rows) for _, rows in engine.map(stage, [LayerUnit(1)])] == [here]
    tiny_checkpoints.build("llama", folder, seed=1)
    with pytest.raises(CheckpointError, match="is not the checkpoint that is being ingested"):
        list(engine.map(stage, [LayerUnit(0)]))
    folder.rename(tmp_path / "away")
    with pytest.raises(CheckpointError, match="does not exist"):
        list(engine.map(stage, [LayerUnit(0)]))
    with pytest.raises(EnvironmentFault, match="has no GPU"):
        engine.device("cuda")
    with pytest.raises(UsageError, match=r"99 workers of 1 CPU each .* has room for \d"):
        list(RayEngine(99, Silent()).map(stage, [LayerUnit(0)]))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (("local", None, 2), UsageError, "--ray-address and --workers go with --engine ray."),
        (("ray", "nowhere", None), EnvironmentFault, "Ray at nowhere cannot be used"),
        (("ray", "127.0.0.1:1", None), EnvironmentFault, "nobody answers there"),
    ],
)
def test_engines_that_cannot_be_opened(
    options: tuple[Any, ...], kind: type[CatalogError], message: str
) -> None:
    with pytest.raises(kind) as refused, open_engine(EngineChoice(*options), Silent()):
        pass
    assert message in refused.value.message(command_line)


def test_a_node_that_is_late_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ray says it of a busy machine: by an exception without a class of its own."""

    def late(**_: object) -> None:
        raise Exception("The current node timed out during startup. This could happen")

    monkeypatch.setattr(ray, "init", late)
    with (
        pytest.raises(EnvironmentFault, match="on this machine cannot be used: The current node"),
        open_engine(EngineChoice("ray", None, 2), Silent()),
    ):
        pass
