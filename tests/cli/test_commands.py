"""Every command: its help, its exit codes, and where its words go."""

import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalog import errors
from catalog.cli import commands
from catalog.cli.main import run
from catalog.errors import CatalogError, ExitCode
from tests.support import Answer, command

NAMES = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def every_error() -> Iterator[type[CatalogError]]:
    yield CatalogError
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, CatalogError) and value != CatalogError:
            yield value


@pytest.mark.parametrize("name", NAMES)
def test_help_has_an_example(cli: Callable[..., Answer], name: str) -> None:
    answer = cli(name, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert "Example:" in answer.out
    assert f"catalog {name}" in answer.out.split("Example:")[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_documented(name: str) -> None:
    from importlib import import_module

    from click import Option

    options = import_module(f"{commands.__name__}.{name}").command.params
    bare = [each.name for each in options if isinstance(each, Option) and not each.help]
    # What a choice of words says by itself.
    assert set(bare) <= {"device", "dtype"}


def test_the_group_lists_every_command_with_a_summary(cli: Callable[..., Answer]) -> None:
    listed = dict(re.findall(r"^  (\w+) {2,}(\S.*)$", cli("--help").out, re.MULTILINE))
    assert [name for name in NAMES if name not in listed] == []


def test_help_documents_every_exit_code(cli: Callable[..., Answer]) -> None:
    said = cli("--help").out.split("Exit codes:")[1]
    codes = [int(code) for code in re.findall(r"^ +(\d+) ", said, re.MULTILINE)]
    assert codes == sorted(int(code) for code in ExitCode)


@pytest.mark.parametrize("error", list(every_error()), ids=lambda error: error.__name__)
def test_every_error_has_a_documented_exit_code_and_a_meaning(error: type[CatalogError]) -> None:
    assert error.exit_code in set(ExitCode) - {ExitCode.OK}
    assert error.__doc__
    if error is not CatalogError:
        assert error.exit_code != ExitCode.INTERNAL


@pytest.mark.parametrize("wrong", [["nonsense"], ["--nonsense"], ["sql"], ["show"], ["ingest"]])
def test_wrong_usage_is_2_and_told_on_standard_error(
    cli: Callable[..., Answer], wrong: list[str]
) -> None:
    answer = cli(*wrong)
    assert (answer.code, answer.out) == (2, "")
    assert "Error:" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["sql", "from models"], 0),
        (["sql", "selec"], 5),
        (["sql", "delete from neuron"], 5),
        (["sql", "from read_text('/etc/passwd')"], 5),
        (["show", "28.4737"], 2),
        (["show", "99.1", "--model", "alpha"], 3),
        (["show", "28.99999", "--model", "alpha"], 3),
        (["show", "28", "--model", "alpha"], 2),
        (["show", "a.b", "--model", "alpha"], 2),
        (["show", "-1.0", "--model", "alpha"], 2),
        (["show", "", "--model", "alpha"], 2),
        (["show", "28.4737", "--model", "gamma"], 3),
        (["show", "28.4737", "--model", "alpha", "--corpus", "x"], 3),
        (["query", "nonsense"], 3),
        (["query", "classes", "-p", "nonsense=1"], 2),
        (["models"], 0),
        (["upgrade"], 0),
    ],
)
def test_exit_codes(cli: Callable[..., Answer], db: Path, arguments: list[str], code: int) -> None:
    answer = cli(*arguments, "--db", db)
    assert answer.code == code
    assert "Traceback" not in answer.err
    if code:
        assert answer.out == ""
        assert answer.err.startswith(("Error: ", "Usage: "))
        assert len(answer.err) > len("Error: ") + 10


def test_a_fault_of_the_program_is_1_and_debug_shows_it(
    cli: Callable[..., Answer], db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "select * from test_all_types()"  # intervals that Python cannot hold
    answer = cli("sql", sql, "--db", db)
    assert answer.code in (1, 5)
    assert "Traceback" not in answer.err
    if answer.code == 1:
        with pytest.raises(OverflowError):
            run(["--debug", "sql", sql, "--db", str(db)])


@pytest.mark.parametrize("way", ["option", "variable", "default"])
def test_the_catalog_is_named_in_three_ways(db: Path, way: str) -> None:
    arguments = ["sql", "select count(*) as n from models", "--format", "csv"]
    if way == "option":
        answer = command(*arguments, "--db", db)
    elif way == "variable":
        answer = command(*arguments, CATALOG_DB=str(db))
    else:
        db.rename(db.with_name("catalog.duckdb"))
        answer = command(*arguments, cwd=db.parent)
    assert answer == Answer(0, "n\n2\n", "")


def test_sql_is_read_from_standard_input(cli: Callable[..., Answer], known: Path) -> None:
    from io import BytesIO, TextIOWrapper

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"select 1 as one")))
        answer = cli("sql", "-", "--db", known, "--format", "csv")
    assert answer == Answer(0, "one\n1\n", "")


def test_the_version_is_that_of_the_distribution(cli: Callable[..., Answer]) -> None:
    from importlib.metadata import version

    assert cli("--version").out == f"catalog, version {version('neuron-catalog')}\n"


@pytest.mark.parametrize(
    "wrong",
    [
        ("verify", "alpha", "--exemplars", 2**70),
        ("plot", "scatter", "--layer", 2**40, "--output", "x.png"),
        ("plot", "classes", "--threshold", "nan", "--output", "x.png"),
        ("run", "a", "--top", 2**40),
        ("sql", "select 1", "--max-rows", 2**70),
        ("models", "--wait", "nan"),
    ],
)
def test_a_number_that_means_nothing_is_refused_as_usage(
    cli: Callable[..., Answer], known: Path, wrong: tuple[object, ...]
) -> None:
    answer = cli(*wrong, "--db", known)
    assert (answer.code, answer.out) == (2, "")
