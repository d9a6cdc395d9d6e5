"""docs/faults.md says what the tests of this folder inject, and nothing else."""

import ast
from pathlib import Path

from tests.faults.registry import all_faults
from tests.support import REPOSITORY

FEWEST = 30
PAGE = REPOSITORY / "docs" / "faults.md"


def functions_of(file: Path) -> dict[str, str]:
    """The source of every test function of a file, by name."""
    text = file.read_text()
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_source_segment(text, node) or "" for node in functions}


def test_every_fault_is_injected_by_a_test_that_looks_at_what_is_seen() -> None:
    for fault, test in all_faults().items():
        file, _, name = test.partition("::")
        body = functions_of(REPOSITORY / file).get(name, "")
        assert name.startswith("test_")
        assert "fault.seen(" in body, f"{fault.name}: {test} does not look"


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in all_faults()]
    assert len(names) >= FEWEST
    assert len(set(names)) == len(names)
    assert all(fault.survives for fault in all_faults())


def test_the_page_has_a_row_for_each() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == len(all_faults()) + 1
