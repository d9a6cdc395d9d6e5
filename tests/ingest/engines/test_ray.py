"""The same rows from this process and from Ray workers, also where these die."""

import random
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from catalog.errors import HintPart
from catalog.ingest.corpus import CorpusSpec
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.engines.choosing import EngineChoice
from catalog.ingest.progress import Silent
from catalog.stages import STAGES as DECLARED
from catalog.store.handle import Handle
from tests import tiny_checkpoints
from tests.ingest.engines.networks import NoNamespaces, kill_all, two_networks
from tests.support import Row, one_thread, public_rows, query

STAGES = tuple(stage.name for stage in DECLARED)
PASS: tuple[str, ...] = ("activations",)
WORDS = ("class", "name", "returns", "mapping", "key", "value", "日本", "method")


class Reference:
    """A checkpoint and a corpus of a dozen units, and the rows of the local engine."""

    def __init__(self, folder: Path) -> None:
        self.checkpoint = folder / "checkpoint"
        self.corpus = folder / "words.txt"
        self.rows = public_rows(folder / "all.duckdb")
        self.pass_rows = public_rows(folder / "pass.duckdb")

    def request(self, db: Path, stages: Sequence[str], engine: EngineChoice) -> IngestRequest:
        return request(self.checkpoint, self.corpus, db, stages, engine)


def request(
    checkpoint: Path, corpus: Path, db: Path, stages: Sequence[str], engine: EngineChoice
) -> IngestRequest:
    return IngestRequest(
        catalog=Handle(db),
        source=str(checkpoint),
        alias="tiny",
        stages=stages,
        corpus=CorpusSpec(str(corpus), context_length=64),
        exemplars=3,
        device="cpu",
        engine=engine,
        checkpoint_every_s=0.0,
    )


def on_ray(n_workers: int, address: str | None = None) -> EngineChoice:
    return EngineChoice("ray", address, n_workers)


def make(folder: Path) -> None:
    checkpoint = tiny_checkpoints.build("gemma2", folder / "checkpoint")
    tiny_checkpoints.save_tokenizer(checkpoint)
    corpus = folder / "words.txt"
    corpus.write_text(" ".join(random.Random(0).choices(WORDS, k=25_000)), encoding="utf-8")
    for name, stages in (("all", STAGES), ("pass", PASS)):
        db = folder / f"{name}.duckdb"
        with one_thread():
            ingest(request(checkpoint, corpus, db, stages, EngineChoice()), Silent())


@pytest.fixture(scope="module")
def reference(once: Callable[..., Path]) -> Reference:
    return Reference(once("ray_reference", make))


class AfterUnits(Silent):
    """Does something once, when so many units of the pass are through."""

    def __init__(self, n_units: int, action: Callable[[], object]) -> None:
        self.left, self.action, self.counting = n_units, action, False
        self.said: list[str] = []

    def begin(self, title: str, total: int, done: int = 0) -> None:
        self.counting = title == "activations"

    def advance(self, units: int = 1) -> None:
        if self.counting and self.left > 0:
            self.left -= units
            if self.left <= 0:
                self.action()

    def note(self, said: str, *hint: HintPart) -> None:
        self.said.append(said)


def at_work() -> psutil.Process:
    """A worker that has been started, by what Ray calls its process."""
    below = psutil.Process().children(recursive=True)
    hosts = [process for process in below if process.name().startswith("ray::Host")]
    return next(host for host in hosts if not host.name().startswith("ray::Host.start"))


def notes(db: Path) -> list[Row]:
    return query(
        db,
        "select notes->>'engine', (notes->>'workers')::int, (notes->>'workers_lost')::int "
        "from ingest_runs where stage = 'activations'",
    )


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(reference: Reference, tmp_path: Path) -> None:
    db = tmp_path / "c.duckdb"
    progress = AfterUnits(2, lambda: at_work().send_signal(signal.SIGKILL))
    ingest(reference.request(db, STAGES, on_ray(2)), progress)
    assert public_rows(db) == reference.rows
    assert notes(db) == [("ray", 2, 1)]
    assert "a worker died; another takes its place and does its work again" in progress.said


def pids(node: Any) -> set[int]:
    return {info.process.pid for infos in node.all_processes.values() for info in infos}


@pytest.mark.slow
def test_a_node_that_is_lost_changes_nothing(reference: Reference, tmp_path: Path) -> None:
    db = tmp_path / "c.duckdb"
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        nodes.add_node(num_cpus=1)

    def lose_one() -> None:
        raylet = at_work().ppid()
        lost = next(node for node in nodes.worker_nodes if raylet in pids(node))
        nodes.remove_node(lost, allow_graceful=False)

    try:
        ingest(reference.request(db, PASS, on_ray(2, nodes.address)), AfterUnits(2, lose_one))
        assert public_rows(db) == reference.pass_rows
        assert notes(db) == [("ray", 2, 1)]
    finally:
        nodes.shutdown()


@pytest.mark.slow
def test_a_node_on_another_network_that_is_lost_changes_nothing(
    reference: Reference, tmp_path: Path
) -> None:
    """The nodes share no address, only a cable; whoever ingests stands beside the head."""
    db = tmp_path / "c.duckdb"
    try:
        with TemporaryDirectory(prefix="ray") as short, two_networks(Path(short)) as networks:
            given = networks.address, networks.other, reference.checkpoint, reference.corpus, db
            answer = networks.in_head(sys.executable, "-m", __name__, *given)
    except NoNamespaces as why:
        pytest.skip(f"no network namespaces: {why}")
    assert answer.returncode == 0, answer.stderr
    assert public_rows(db) == reference.pass_rows
    assert notes(db) == [("ray", 2, 1)]


@pytest.mark.slow
def test_what_ray_began_another_engine_finishes(reference: Reference, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    db = tmp_path / "c.duckdb"
    with pytest.raises(KeyboardInterrupt):
        ingest(reference.request(db, PASS, on_ray(1)), AfterUnits(3, interrupt))
    assert not ray.is_initialized()
    begun: dict[str, int] = {}

    class Begun(Silent):
        def begin(self, title: str, total: int, done: int = 0) -> None:
            begun[title] = done

    ingest(reference.request(db, PASS, EngineChoice()), Begun())
    assert begun["activations"] >= 2
    assert public_rows(db) == reference.pass_rows


def test_without_the_extra_the_option_says_how_to_install_it(
    cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    answer = cli("ingest", "demo", "--engine", "ray", "--db", tmp_path / "c.duckdb")
    assert answer.code == 7
    assert "pip install 'neuron-catalog[ray]'" in answer.err
    assert not (tmp_path / "c.duckdb").exists()


def lose_while_ingesting(address: str, lost: str, checkpoint: str, corpus: str, db: str) -> None:
    """Ingest on a cluster and kill all that runs in the namespace `lost` meanwhile."""
    order = request(Path(checkpoint), Path(corpus), Path(db), PASS, on_ray(2, address))
    ingest(order, AfterUnits(2, lambda: kill_all(lost)))


if __name__ == "__main__":
    lose_while_ingesting(*sys.argv[1:])
