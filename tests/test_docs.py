"""The pages that are written from the code say what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.figures import figure_names
from catalog.queries import named_query, query_names

DOCS = Path(__file__).parent.parent / "docs"


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
