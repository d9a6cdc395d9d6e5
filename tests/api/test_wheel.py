"""What is built: complete from any checkout, and working where nothing of the checkout is."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.test_python_api import USE, a_notebooks_folder
from tests.support import REPOSITORY, environment, python

FOLDERS = ["catalog", "ingest", "queries", "migrations", "tests", "benchmarks"]
FILES = ["setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"]
LINKED = ["ingest", "queries", "migrations"]


def checkout(folder: Path, *, links: bool) -> Path:
    """A copy of the sources; without `links`, as git writes them where core.symlinks is false."""
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in FOLDERS:
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=ignored)
    for name in FILES:
        shutil.copy(REPOSITORY / name, folder)
    for name in LINKED:
        link = folder / "catalog" / name
        link.unlink()
        if links:
            link.symlink_to(f"../{name}")
        else:
            link.write_text(f"../{name}")
    return folder


def run(*arguments: object, cwd: Path | None = None) -> None:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def build(source: Path, folder: Path, *kinds: str) -> None:
    run("-m", "build", "--no-isolation", *kinds, "--outdir", folder, source)


def the_only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@pytest.fixture(scope="module")
def built(once: Callable[..., Path]) -> Path:
    """Wheel and sdist from a checkout without links, and the wheel unpacked in `site`."""

    def make(folder: Path) -> None:
        build(checkout(folder / "source", links=False), folder, "--sdist", "--wheel")
        with zipfile.ZipFile(the_only(folder, "*.whl")) as wheel:
            wheel.extractall(folder / "site")

    return once("built without links", make)


def in_wheel(folder: Path) -> list[str]:
    with zipfile.ZipFile(the_only(folder, "*.whl")) as wheel:
        return sorted(wheel.namelist())


def in_sdist(folder: Path) -> list[str]:
    with tarfile.open(the_only(folder, "*.tar.gz")) as sdist:
        files = [member.name for member in sdist.getmembers() if member.isfile()]
    return sorted(name.partition("/")[2] for name in files)


def read_at_run_time() -> set[str]:
    """Every file of the product, as it is called inside the package."""
    found = set()
    for name in ("catalog", *LINKED):
        for path in (REPOSITORY / name).rglob("*"):
            inside = path.relative_to(REPOSITORY).as_posix()
            if path.is_file() and "__pycache__" not in inside:
                found.add(inside if name == "catalog" else f"catalog/{inside}")
    return found


def test_the_wheel_brings_every_file_and_no_other(built: Path) -> None:
    packed = {name for name in in_wheel(built) if ".dist-info/" not in name}
    assert packed == read_at_run_time()
    for kind in (".sql", ".csv", ".gz", ".safetensors", ".mako", "tokenizer.json"):
        assert any(name.endswith(kind) for name in packed)


def test_links_make_no_difference_and_the_sdist_builds_the_same_wheel(
    built: Path, tmp_path: Path
) -> None:
    build(checkout(tmp_path / "source", links=True), tmp_path)  # the wheel from the sdist
    assert in_wheel(tmp_path) == in_wheel(built)
    assert in_sdist(tmp_path) == in_sdist(built)


def test_the_sdist_holds_the_sources_once_and_no_tests(built: Path) -> None:
    inside = in_sdist(built)
    top = {name.partition("/")[0] for name in inside}
    assert {"catalog", *LINKED} < top
    assert not top & {"tests", "benchmarks"}
    assert [name for name in inside if name.startswith(tuple(f"catalog/{n}" for n in LINKED))] == []


def test_the_wheel_works_from_a_notebooks_folder(built: Path, known: Path, tmp_path: Path) -> None:
    folder = a_notebooks_folder(tmp_path / "notebook")
    said = python(USE, known, cwd=folder, PYTHONPATH=str(built / "site"))
    assert said.splitlines()[-1] == str(built / "site" / "catalog" / "__init__.py")


EDITABLE = """
import site, sys
site.addsitedir(sys.argv[2])
sys.path.append(sys.argv[3])  # a folder of packages whose own .pth files are not read
"""


def test_an_editable_install_without_links_works(known: Path, tmp_path: Path) -> None:
    source = checkout(tmp_path / "source", links=False)
    made = f"from setuptools.build_meta import build_editable; build_editable({str(tmp_path)!r})"
    run("-c", made, cwd=source)
    with zipfile.ZipFile(the_only(tmp_path, "*.whl")) as wheel:
        wheel.extractall(tmp_path / "site")
    folder = a_notebooks_folder(tmp_path / "notebook")
    packages = sysconfig.get_path("purelib")
    code = EDITABLE + USE + "import catalog.ingest; print(catalog.ingest.__file__)"
    said = python(
        code, known, tmp_path / "site", packages, cwd=folder, flags=("-S",), PYTHONPATH=""
    )
    assert said.splitlines()[-2:] == [
        str(source / "catalog" / "__init__.py"),
        str(source / "ingest" / "__init__.py"),
    ]


@pytest.mark.parametrize("name", LINKED)
def test_a_file_has_one_import_name(name: str) -> None:
    code = f"import catalog.{name}\ntry:\n    import {name}\nexcept ImportError as e:\n    print(e)"
    assert python(code, cwd=REPOSITORY) == f"Import this package as catalog.{name}.\n"
