"""Catalogs that many tests use: made once a run, copied for the tests that write."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from catalog.ingest.threads import sleep_while_waiting
from tests import synthetic
from tests.support import Answer

sleep_while_waiting()


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CATALOG_DB", "CATALOG_DEBUG", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`once(name, make)`: a folder that `make(folder)` fills once, for all xdist workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder_of(name: str, make: Callable[[Path], object]) -> Path:
        folder = shared / "once" / name
        done = folder.with_suffix(".done")
        folder.parent.mkdir(exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def known(once: Callable[..., Path]) -> Path:
    """The catalog of `tests.synthetic`, to be read only."""
    folder = once("known", lambda folder: synthetic.build(folder / "known.duckdb"))
    return folder / "known.duckdb"


@pytest.fixture
def db(known: Path, tmp_path: Path) -> Path:
    """A copy of `known`, alone in its folder."""
    folder = tmp_path / "catalog"
    folder.mkdir()
    return Path(shutil.copy(known, folder / "known.duckdb"))


@pytest.fixture(scope="session")
def measured(once: Callable[..., Path]) -> Path:
    """A folder with a tiny checkpoint, `model`, and `c.duckdb`, made of it with activations."""

    def make(folder: Path) -> None:
        from catalog.cli.main import run
        from tests.tiny_checkpoints import build, save_tokenizer

        save_tokenizer(build("llama", folder / "model"))
        texts = folder / "texts.txt"
        texts.write_text("\n\n".join(f"the {n} sentence of several, with words" for n in range(40)))
        run(
            [
                *("ingest", str(folder / "model"), "--db", str(folder / "c.duckdb")),
                *("--weights", "raw", "--alias", "tiny", "--corpus", str(texts)),
                *("--corpus-name", "web", "--context-length", "16", "--exemplars", "4"),
            ]
        )

    return once("measured", make)


@pytest.fixture
def cli(capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Answer]:
    """Run one command line in this process: everything but the interpreter's own start."""
    from catalog.cli.main import run

    def call(*arguments: object) -> Answer:
        code = run([str(each) for each in arguments])
        out, err = capsysbinary.readouterr()
        return Answer(int(code), out.decode(), err.decode())

    return call
