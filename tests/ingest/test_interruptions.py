"""Ingests that are killed, interrupted or locked out carry on to the same rows."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest

import catalog
from catalog.errors import DatabaseLocked, HintPart
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle
from catalog.store.staging import staging_root
from catalog.store.upgrading import ensure_catalog
from tests import handmade
from tests.ingest import processes
from tests.support import command, held, public_rows, wait_until

N_LAYERS = 6
STAGES: tuple[str, ...] = ("weights", "vocab")
OPTIONS = ("--weights", "raw", "--stages", ",".join(STAGES), "--device", "cpu")
N_KILLS = 3


class Undisturbed:
    """A checkpoint, and what an ingest of it that nobody disturbs leaves behind."""

    def __init__(self, folder: Path) -> None:
        self.checkpoint = folder / "checkpoint"
        self.db = folder / "c.duckdb"
        self.seconds = float((folder / "seconds").read_text())
        self.rows = public_rows(self.db)

    def arguments(self, db: Path) -> tuple[object, ...]:
        return ("ingest", self.checkpoint, *OPTIONS, "--db", db)


def make(folder: Path) -> None:
    handmade.save(folder / "checkpoint", n_layers=N_LAYERS, d_mlp=64)
    arguments = ("ingest", folder / "checkpoint", *OPTIONS)
    # The first one also pays for starting the server that the others are forked from.
    processes.finished(folder / "log", *arguments, "--db", folder / "first.duckdb")
    started = time.monotonic()
    processes.finished(folder / "log", *arguments, "--db", folder / "c.duckdb")
    (folder / "seconds").write_text(str(time.monotonic() - started))


@pytest.fixture(scope="module")
def undisturbed(once: Callable[..., Path]) -> Undisturbed:
    return Undisturbed(once("undisturbed", make))


@pytest.fixture
def new(tmp_path: Path) -> Path:
    path = tmp_path / "new.duckdb"
    ensure_catalog(Handle(path))
    return path


def same_rows(db: Path, undisturbed: Undisturbed) -> None:
    assert public_rows(db) == undisturbed.rows
    assert not staging_root(db).exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(N_KILLS))
def test_a_killed_ingest_is_carried_on(
    undisturbed: Undisturbed, new: Path, tmp_path: Path, seed: int
) -> None:
    # One part of the time each, at a random moment in it.
    moment = (seed + random.Random(seed).random()) / N_KILLS * undisturbed.seconds
    process = processes.start(tmp_path / "log", *undisturbed.arguments(new))
    process.join(moment)
    process.kill()
    process.join()
    shown = public_rows(new)
    n = catalog.open(new).columns()["neurons"].index("vocab_variance")
    of_weights = [row[:n] + (None,) * (len(row) - n) for row in undisturbed.rows["neurons"]]
    assert shown["neurons"] in ([], of_weights, undisturbed.rows["neurons"])
    assert shown["top_tokens"] in ([], undisturbed.rows["top_tokens"])
    processes.finished(tmp_path / "log", *undisturbed.arguments(new))
    same_rows(new, undisturbed)


@pytest.mark.slow
def test_killed_again_and_again_it_still_ends(
    undisturbed: Undisturbed, new: Path, tmp_path: Path
) -> None:
    moments = random.Random(0)
    for _ in range(2):
        process = processes.start(tmp_path / "log", *undisturbed.arguments(new))
        process.join(moments.uniform(0.3, 0.9) * undisturbed.seconds)
        process.kill()
        process.join()
        catalog.open(new).sql("from neurons")
    processes.finished(tmp_path / "log", *undisturbed.arguments(new))
    same_rows(new, undisturbed)


@pytest.mark.parametrize("moment", ["computing", "waiting"])
def test_ctrl_c_says_one_sentence_and_loses_nothing(
    undisturbed: Undisturbed, new: Path, tmp_path: Path, moment: str
) -> None:
    log = tmp_path / "log"
    with held(new, "read") if moment == "waiting" else nullcontext():
        process = processes.start(log, *undisturbed.arguments(new))
        if moment == "waiting":
            process.join(1)
        else:
            wait_until(lambda: staging_root(new).exists() or not process.is_alive())
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        process.join(60)
    said = log.read_text()
    assert process.exitcode == 130, said
    assert said.count("Interrupted.") == 1
    assert "Traceback" not in said
    processes.finished(log, *undisturbed.arguments(new))
    same_rows(new, undisturbed)


class InterruptedImport:
    """Presses Ctrl-C while a module is looked for, and hides that as C code may do."""

    def __init__(self, module: str) -> None:
        self.module = module

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.module:
            self.module = ""
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise ValueError("could not determine the shape of an object") from None

    def install(self) -> None:
        sys.meta_path.insert(0, self)


# DuckDB goes on without pandas if looking for it fails, over the first value that is bound.
@pytest.mark.parametrize("module", ["pandas"])
def test_ctrl_c_that_a_library_swallows_or_turns_into_another_error(
    undisturbed: Undisturbed, new: Path, tmp_path: Path, module: str
) -> None:
    log = tmp_path / "log"
    interrupted = InterruptedImport(module)
    process = processes.start(log, *undisturbed.arguments(new), before=interrupted.install)
    process.join(60)
    said = log.read_text()
    assert process.exitcode == 130, said
    assert said.count("Error: Interrupted.") == 1
    processes.finished(log, *undisturbed.arguments(new))
    same_rows(new, undisturbed)


def test_every_query_answers_during_a_whole_ingest(
    undisturbed: Undisturbed, new: Path, tmp_path: Path
) -> None:
    waits: list[float] = []

    def ask() -> None:
        started = time.monotonic()
        answer = command("sql", "select count(*) from neurons", "--db", new, "--format", "csv")
        waits.append(time.monotonic() - started)
        assert answer.code == 0, answer.err

    process = processes.start(tmp_path / "log", *undisturbed.arguments(new), "--wait", 60)
    assert processes.while_running(process, ask) > 0
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    assert max(waits) < 30
    same_rows(new, undisturbed)


def test_a_busy_notebook_never_makes_an_ingest_fail(
    undisturbed: Undisturbed, new: Path, tmp_path: Path
) -> None:
    session = catalog.open(new)
    process = processes.start(tmp_path / "log", *undisturbed.arguments(new))
    asked = processes.while_running(process, lambda: len(session.sql("from top_tokens limit 5")))
    assert asked > 5
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    same_rows(new, undisturbed)


class HeldAtLoad(Silent):
    """Another process opens the catalog when the load of a stage begins."""

    def __init__(self, db: Path, title: str, stack: ExitStack) -> None:
        self.db, self.title, self.stack = db, title, stack

    def begin(self, title: str, total: int, done: int = 0) -> None:
        if title == self.title:
            self.stack.enter_context(held(self.db, "read"))


class Noting(HeldAtLoad):
    """Keeps the notes too."""

    def __init__(self, db: Path, title: str, stack: ExitStack) -> None:
        super().__init__(db, title, stack)
        self.notes: list[str] = []

    def note(self, said: str, *hint: HintPart) -> None:
        self.notes.append(said)


class SeenAtLoad(Silent):
    """Notes the staged files, with the time each was written, when a load begins."""

    def __init__(self, db: Path, title: str) -> None:
        self.db, self.title = db, title
        self.files: dict[str, int] = {}

    def begin(self, title: str, total: int, done: int = 0) -> None:
        if title == self.title:
            self.files = staged_files(self.db)


def staged_files(db: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in staging_root(db).rglob("*.parquet")}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


@pytest.mark.parametrize("stage", ["weights", "vocab"])
def test_a_load_that_gives_up_keeps_what_was_computed(
    undisturbed: Undisturbed, new: Path, stack: ExitStack, stage: str
) -> None:
    def request(wait_s: float) -> IngestRequest:
        return IngestRequest(
            catalog=Handle(new, wait_s),
            source=str(undisturbed.checkpoint),
            weights="raw",
            stages=STAGES,
            device="cpu",
        )

    title = f"loading {stage}"
    with pytest.raises(DatabaseLocked):
        ingest(request(0.2), HeldAtLoad(new, title, stack))
    kept = staged_files(new)
    assert kept
    stack.close()
    seen = SeenAtLoad(new, title)
    ingest(request(60), seen)
    assert seen.files == kept
    same_rows(new, undisturbed)


def test_what_is_left_staged_is_explained_when_left_and_when_found(
    undisturbed: Undisturbed, new: Path, stack: ExitStack
) -> None:
    def request(wait_s: float) -> IngestRequest:
        source = str(undisturbed.checkpoint)
        return IngestRequest(Handle(new, wait_s), source, "tiny", stages=("weights",), device="cpu")

    progress = Noting(new, "loading weights", stack)
    with pytest.raises(DatabaseLocked):
        ingest(request(0.2), progress)
    stack.close()
    size = next(said for said in progress.notes if "MB are free" in said)
    assert size.startswith("tiny: weights will take about ")
    assert f"MB in {new}, " in size
    explained = progress.notes[-1]
    assert str(staging_root(new)) in explained
    assert "not loaded yet: tiny: weights. The command that began it carries on" in explained
    again = Noting(new, "", stack)
    ingest(request(60), again)
    assert explained in again.notes
    assert not staging_root(new).exists()
    once_more = Noting(new, "", stack)
    ingest(request(60), once_more)
    assert not any("will take" in said or "loaded yet" in said for said in once_more.notes)
