"""Wiring and attribution killed (SIGKILL) in the midst of what they do, and a worker of theirs.

What was computed before is kept, nothing of the stage is shown, and the same command ends with the
rows of an ingest that nobody disturbed.
"""

import importlib
import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from catalog.ingest.corpus import CorpusSpec
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.engines.choosing import EngineChoice
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle
from catalog.store.staging import staging_root
from tests import tiny_checkpoints
from tests.ingest import processes
from tests.support import Row, one_thread, public_rows

pytestmark = pytest.mark.slow

N_LAYERS = 6
WORDS = ("class", "name", "returns", "mapping", "key", "value", "日本", "method")
VIEWS = {"wiring": ("wires", "twins"), "attribution": ("attributions",)}


@dataclass(frozen=True)
class KilledBefore:
    """Kills its process just before the n-th call of a function, from 1."""

    module: str
    function: str
    n: int

    def __call__(self) -> None:
        module = importlib.import_module(self.module)
        original = getattr(module, self.function)
        calls = 0

        def counted(*given: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls == self.n:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*given, **named)

        setattr(module, self.function, counted)


MOMENTS = {
    "wiring": (
        # In a later unit: a layer has three vectors, so three calls.
        KilledBefore("catalog.ingest.stages.wiring", "within", 11),
        # Lists that are written and have not got their name; then rows of a layer.
        KilledBefore("catalog.store.whole_files", "_put_in_place", 3),
        KilledBefore("catalog.store.whole_files", "_put_in_place", N_LAYERS + 4),
        KilledBefore("catalog.ingest.loading", "finish_run", 1),
    ),
    "attribution": (
        # Between the forward and the backward pass; the first two are for measuring.
        KilledBefore("catalog.ingest.attribution.passes", "loss_slope", 5),
        KilledBefore("catalog.ingest.attribution.state", "save_arrays", 3),
        KilledBefore("catalog.ingest.loading", "record_loaded", 1),
    ),
}
KILLS = [(stage, moment) for stage, moments in MOMENTS.items() for moment in moments]


@dataclass(frozen=True)
class Undisturbed:
    """A checkpoint and a corpus, and what each stage makes of them if nobody disturbs it."""

    folder: Path

    def request(self, db: Path, stage: str, engine: EngineChoice) -> IngestRequest:
        return IngestRequest(
            catalog=Handle(db),
            source=str(self.folder / "tiny"),
            stages=(stage,),
            corpus=CorpusSpec(str(self.folder / "words.txt"), context_length=64),
            device="cpu",
            engine=engine,
            checkpoint_every_s=0.0,
        )

    def arguments(self, db: Path, stage: str) -> tuple[object, ...]:
        corpus = ("--corpus", self.folder / "words.txt", "--context-length", 64)
        options = ("--device", "cpu", "--checkpoint-every", 0, "--db", db)
        return ("ingest", self.folder / "tiny", "--stages", stage, *corpus, *options)

    def rows(self, stage: str) -> dict[str, list[Row]]:
        return public_rows(self.folder / f"{stage}.duckdb")

    def begun(self, folder: Path) -> Path:
        """A new catalog that holds the weights."""
        folder.mkdir(exist_ok=True)
        return Path(shutil.copy(self.folder / "weights.duckdb", folder / "c.duckdb"))


def make(folder: Path) -> None:
    checkpoint = tiny_checkpoints.build("llama", folder / "tiny", num_hidden_layers=N_LAYERS)
    tiny_checkpoints.save_tokenizer(checkpoint)
    words = " ".join(random.Random(0).choices(WORDS, k=4_000))
    (folder / "words.txt").write_text(words, encoding="utf-8")
    made = Undisturbed(folder)
    weights = folder / "weights.duckdb"
    ingest(made.request(weights, "weights", EngineChoice()), Silent())
    for stage in VIEWS:
        db = Path(shutil.copy(weights, folder / f"{stage}.duckdb"))
        ingest(made.request(db, stage, EngineChoice()), Silent())


@pytest.fixture(scope="module")
def undisturbed(once: Callable[..., Path]) -> Undisturbed:
    return Undisturbed(once("wired-and-attributed", make))


@pytest.mark.parametrize(("stage", "moment"), KILLS)
def test_a_stage_that_is_killed_is_carried_on(
    undisturbed: Undisturbed, tmp_path: Path, stage: str, moment: KilledBefore
) -> None:
    db, log = undisturbed.begun(tmp_path), tmp_path / "log"
    process = processes.start(log, *undisturbed.arguments(db, stage), before=moment)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL, log.read_text()
    shown = public_rows(db)
    assert not any(shown[view] for view in VIEWS[stage])
    said = processes.finished(log, *undisturbed.arguments(db, stage))
    assert f"tiny: {stage} was interrupted and is carried on" in said
    assert public_rows(db) == undisturbed.rows(stage)
    assert not staging_root(db).exists()


@pytest.mark.parametrize("stage", VIEWS)
def test_killed_again_and_again_it_computes_only_what_is_missing(
    undisturbed: Undisturbed, tmp_path: Path, stage: str
) -> None:
    """Each attempt gets some way further, though none is left to end."""
    db, log = undisturbed.begun(tmp_path), tmp_path / "log"
    saved = {
        "wiring": KilledBefore("catalog.store.whole_files", "_put_in_place", 3),
        "attribution": KilledBefore("catalog.ingest.attribution.state", "save_arrays", 3),
    }[stage]
    begun: list[int] = []
    for _ in range(2):
        process = processes.start(log, *undisturbed.arguments(db, stage), before=saved)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, log.read_text()

    class Begun(Silent):
        def begin(self, title: str, total: int, done: int = 0) -> None:
            if title == stage:
                begun.append(done)

    ingest(undisturbed.request(db, stage, EngineChoice()), Begun())
    assert begun[0] >= 4
    assert public_rows(db) == undisturbed.rows(stage)


@pytest.mark.parametrize("stage", VIEWS)
def test_two_ray_workers_of_which_one_is_killed_give_the_same_rows(
    undisturbed: Undisturbed, tmp_path: Path, stage: str
) -> None:
    killed: list[psutil.Process] = []

    class Killing(Silent):
        def begin(self, title: str, total: int, done: int = 0) -> None:
            self.title = title

        def advance(self, units: int = 1) -> None:
            if not killed and self.title == stage:
                below = psutil.Process().children(recursive=True)
                hosts = [each for each in below if each.name().startswith("ray::Host")]
                killed.append(hosts[0])
                hosts[0].send_signal(signal.SIGKILL)

    db = undisturbed.begun(tmp_path)
    ingest(undisturbed.request(db, stage, EngineChoice("ray", None, 2)), Killing())
    assert killed
    alone = undisturbed.begun(tmp_path / "alone")
    with one_thread():
        ingest(undisturbed.request(alone, stage, EngineChoice()), Silent())
    assert public_rows(db) == public_rows(alone)
