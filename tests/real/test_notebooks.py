"""The notebooks of docs/ run, and print what their pages say that they print."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from tests.real.smollm2 import FILE
from tests.real.test_smollm2 import db as db
from tests.support import REPOSITORY, environment

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FILE.exists(), reason="`make test-notebook` fetches the model"),
]
DOCS = REPOSITORY / "docs"
NAMES = [each.stem for each in sorted(DOCS.glob("*.ipynb"))]
NUMBER = re.compile(r"[+-]?\d+\.\d+(?:e[+-]?\d+)?")


@pytest.fixture(scope="module")
def ran(db: Path, once: Callable[..., Path]) -> Path:
    """A folder with the notebooks as they come out now, on a catalog that they may write to."""

    def make(folder: Path) -> None:
        own = Path(shutil.copy(db, folder / "smollm2.duckdb"))
        done = subprocess.run(
            [sys.executable, DOCS / "notebooks.py", "--output", folder],
            env=environment(CATALOG_DB=str(own)),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    return once("notebooks", make)


def printed(notebook: Path) -> Iterator[str]:
    """Lines of source and of what was printed, cell by cell."""
    cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        texts = [cell["source"]]
        for output in cell.get("outputs", ()):
            is_stream = output["output_type"] == "stream"
            texts.append(output["text"] if is_stream else output["data"]["text/plain"])
        for text in texts:
            yield from "".join(text).splitlines()


def test_there_are_notebooks() -> None:
    assert NAMES == ["gallery", "tutorial"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_prints_what_is_written(ran: Path, name: str) -> None:
    """Words and whole numbers as they are, others as far as machines agree."""
    pairs = zip_longest(printed(ran / f"{name}.ipynb"), printed(DOCS / f"{name}.ipynb"))
    for found, written in pairs:
        assert found is not None and written is not None
        assert NUMBER.sub("#", found).split() == NUMBER.sub("#", written).split()
        numbers = [float(each) for each in NUMBER.findall(found)]
        expected = [float(each) for each in NUMBER.findall(written)]
        assert numbers == pytest.approx(expected, rel=0.02, abs=0.02), written
