"""What the command and the API import: readers start fast because they import little."""

import json

import pytest

from tests.support import COMMAND, python

HEAVY = {"torch", "transformers", "sqlalchemy", "alembic", "duckdb_sqlalchemy", "datasets", "scipy"}
RUN = """
import json, sys
from catalog.cli.main import run
with open({log!r}, "w") as sys.stdout:
    code = run({arguments!r})
sys.stdout = sys.__stdout__
print(json.dumps([int(code), sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


def imported(arguments: list[str], log: str = "/dev/null") -> set[str]:
    code, names = json.loads(python(RUN.format(arguments=arguments, log=log)))
    assert code == 0
    return set(names)


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "28.4737", "--model", "alpha"],
        ["show", "28.4737", "--model", "alpha", "--json", "--canonical"],
        ["sql", "from models"],
        ["sql", "from models", "--format", "csv"],
        ["models"],
        ["query"],
        ["query", "classes"],
        ["upgrade"],
    ],
    ids=" ".join,
)
def test_a_reader_imports_nothing_heavy(known: object, arguments: list[str]) -> None:
    assert imported([*arguments, "--db", str(known)]) & HEAVY == set()


def test_a_neuron_is_shown_without_what_only_a_lake_needs(known: object) -> None:
    arguments = ["show", "28.4737", "--model", "alpha", "--db", str(known)]
    assert imported(arguments) & {"fsspec", "pyarrow"} == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_neither_heavy_things_nor_the_commands_own(arguments: list[str]) -> None:
    others = {"duckdb", "pyarrow", "numpy", "rich", "pandas", "polars"}
    assert imported(arguments) & (HEAVY | others) == set()


def test_the_api_imports_nothing_heavy() -> None:
    code = "import catalog, sys, json; print(json.dumps(sorted(sys.modules)))"
    names = {name.partition(".")[0] for name in json.loads(python(code))}
    assert names & (HEAVY | {"pandas", "polars", "rich", "click"}) == set()


def test_the_command_is_installed_beside_the_interpreter() -> None:
    assert COMMAND.exists()
