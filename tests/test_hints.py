"""Below the skins, help is named by symbol: no message spells an option of the command line."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SKINS = ("catalog/cli/", "catalog/reports/terminal.py", "ingest/demo/")
"""What words options for people: the command line, its report, and scripts that make the demo."""

EXEMPT = re.compile("llama-gguf-split --merge|run again with --debug")
"""A command of another program, and what the list of exit codes says, which only a process has."""

MODULES = sorted(
    path
    for top in ("catalog", "ingest", "queries")
    for path in (ROOT / top).rglob("*.py")
    if not path.relative_to(ROOT).as_posix().startswith(SKINS)
)


def texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """The string literals of a module that are no docstrings."""
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_message_spells_an_option(path: Path) -> None:
    spelled = [
        (node.lineno, node.value)
        for node in texts(ast.parse(path.read_text()))
        if re.search(r"(?<!-)--[a-z]", EXEMPT.sub("", str(node.value)))
    ]
    assert not spelled
