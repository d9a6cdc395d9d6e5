"""An option that is given twice is taken twice, or refused."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator

import click
import pytest

from catalog.cli import commands
from tests.support import Answer

NAMES = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def single_valued() -> Iterator[tuple[str, click.Option]]:
    """Every command with each of its options that takes one value."""
    for name in NAMES:
        for option in importlib.import_module(f"{commands.__name__}.{name}").command.params:
            if isinstance(option, click.Option) and not (option.multiple or option.is_flag):
                yield name, option


@pytest.mark.parametrize(
    ("name", "option"),
    list(single_valued()),
    ids=lambda each: each if isinstance(each, str) else each.opts[-1],
)
def test_an_option_of_one_value_is_not_taken_twice(
    cli: Callable[..., Answer], name: str, option: click.Option
) -> None:
    flag = option.opts[-1]
    answer = cli(name, flag, "first", flag, "second")
    assert (answer.code, answer.out) == (2, "")
    assert f"{flag} takes one value and was given 2 times." in answer.err


def test_contradicting_flags_are_refused_and_repeated_ones_are_not(
    cli: Callable[..., Answer], known: str
) -> None:
    answer = cli("find", "--atypical", "--typical", "--db", known)
    assert answer.code == 2
    assert "--atypical / --typical takes one value" in answer.err
    assert cli("show", "28.4737", "--json", "--json", "--model", "alpha", "--db", known).code == 0


def test_sql_that_begins_with_a_comment_does_not_hide_a_repeated_option(
    cli: Callable[..., Answer], known: str
) -> None:
    twice = ("--format", "csv", "--format", "json")
    assert cli("sql", "-- How many?\nselect 7", *twice, "--db", known).code == 2
