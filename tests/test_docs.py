"""The pages that are written from the code say what the code says."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import catalog
from catalog.figures import figure_names
from catalog.pages.addresses import split_path
from catalog.pages.registry import page_at, pages
from catalog.pages.walls import headers_for
from catalog.queries import named_query, query_names

DOCS = Path(__file__).parent.parent / "docs"
TESTS = Path(__file__).parent


def test_generated_pages_are_up_to_date() -> None:
    ran = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", ["paper.md", "beyond.md"])
def test_pages_name_queries_parameters_and_figures_that_there_are(name: str) -> None:
    page = (DOCS / name).read_text()
    asked = re.findall(r"catalog query ([a-z_]+)((?: -p \w+=\S+?)*)[`\s]", page)
    assert len(asked) > 5
    for query, settings in asked:
        named_query(query).bound(re.findall(r"-p (\S+)", settings))
    plotted = set(re.findall(r"catalog plot (\w+)", page))
    assert plotted <= set(figure_names())


def test_the_paper_page_has_every_query_and_figure_of_the_paper() -> None:
    page = (DOCS / "paper.md").read_text()
    of_paper = [name for name in query_names() if "paper" in named_query(name).doc]
    assert [name for name in of_paper if not re.search(rf"\b{name}\b", page)] == []
    beyond = ["ablation", "evolution", "flow", "gates"]
    assert [name for name in figure_names() if f"catalog plot {name}" not in page] == beyond


@pytest.mark.parametrize("name", ["pages.md", "security.md"])
def test_tests_that_a_page_names_are_there(name: str) -> None:
    page = (DOCS / name).read_text()
    defined = re.findall(r"def (test_\w+)", "".join(p.read_text() for p in TESTS.rglob("*.py")))
    files = set(re.findall(r"`(tests/[\w/]+\.py)", page))
    assert {file for file in files if not (TESTS.parent / file).is_file()} == set()
    named = set(re.findall(r"\b(test_\w+)(?!\.py|\w)", page)) - {Path(f).stem for f in files}
    assert named | files and named <= set(defined)


def test_every_header_of_an_answer_is_in_the_list_of_headers() -> None:
    listed = (DOCS / "pages.md").read_text().lower()
    sent = headers_for({"query_string": b""})
    assert [name for name, _ in sent if f"`{name.decode()}" not in listed] == []


def test_every_page_has_a_picture(known: Path) -> None:
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pictures"] = module  # dataclasses look for their module
    spec.loader.exec_module(module)
    addresses = module.addresses(catalog.open(known), "alpha", "28.4737", "28.9766")
    shown = set(re.findall(r"\(pictures/([\w.-]+)\)", (DOCS / "pages.md").read_text()))
    assert shown == {file.name for file in (DOCS / "pictures").iterdir()}
    of = {name: page_at(split_path(urlsplit(at).path)[0])[0].name for name, at in addresses.items()}
    pictured = {of[re.sub(r"-\d+(-\w+)?\.webp$", "", name)] for name in shown}
    assert pictured == {page.name for page in pages()} - {"go"}
