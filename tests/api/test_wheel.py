"""The wheel: what it brings, and that it works where nothing of the checkout is."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.test_python_api import USE, a_notebooks_folder
from tests.support import REPOSITORY, environment, python

SOURCES = ["catalog", "ingest", "queries", "migrations", "pyproject.toml", "README.md", "LICENSE"]


def build(folder: Path) -> None:
    """Build from a copy, so that nothing is left in the checkout; then unpack it with pip."""
    copy = folder / "source"
    copy.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, copy / name, symlinks=True, ignore=ignored)
        elif source.exists():
            shutil.copy(source, copy / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(copy)]
    run(wheel)
    (built,) = folder.glob("*.whl")
    run(
        [*pip, "install", "--no-deps", "--no-compile", "--target", str(folder / "site"), str(built)]
    )


def run(arguments: list[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(once: Callable[..., Path]) -> Path:
    return once("wheel", build)


def names(built: Path) -> list[str]:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_it_brings_one_top_level_name(built: Path) -> None:
    top = {name.partition("/")[0] for name in names(built)}
    assert {name for name in top if not name.endswith(".dist-info")} == {"catalog"}
    assert len(top) == 2


def test_it_brings_every_file_that_is_read_at_run_time(built: Path) -> None:
    packed = set(names(built))
    for folder, pattern in (
        ("catalog/views", "*.sql"),
        ("queries", "*.sql"),
        ("queries/own", "*.sql"),
        ("migrations", "*.py"),
        ("migrations/versions", "*.py"),
        ("ingest/demo/model", "*"),
        ("ingest/demo", "*.gz"),
    ):
        for path in (REPOSITORY / folder).glob(pattern):
            inside = path.relative_to(REPOSITORY).as_posix()
            assert (inside if folder.startswith("catalog") else f"catalog/{inside}") in packed


def test_it_brings_no_tests_or_benchmarks(built: Path) -> None:
    assert [name for name in names(built) if "tests/" in name or "benchmarks" in name] == []


def test_the_installed_package_works_from_a_notebooks_folder(
    built: Path, known: Path, tmp_path: Path
) -> None:
    folder = a_notebooks_folder(tmp_path / "notebook")
    said = python(USE, known, cwd=folder, PYTHONPATH=str(built / "site"))
    assert said.splitlines()[-1] == str(built / "site" / "catalog" / "__init__.py")
