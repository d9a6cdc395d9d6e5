"""Everything that goes to standard error: messages, questions, progress."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from catalog.errors import UsageError
from catalog.visible import beneath

if TYPE_CHECKING:
    from catalog.console import VisibleConsole


@contextmanager
def telling() -> Iterator[None]:
    """Where nobody can be told, because standard error is full, the exit code says it alone."""
    try:
        yield
    except OSError:
        give_up(sys.stderr)


def error(text: str) -> None:
    """Say why a command failed."""
    with telling():
        click.secho("Error: ", fg="red", nl=False, file=beneath(sys.stderr))
        click.echo(text, err=True)


def give_up(stream: TextIO) -> None:
    """Drop what a standard stream does not take, or Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def note(text: str) -> None:
    """Say something the user should know."""
    with telling():
        click.echo(text, err=True)


def console() -> "VisibleConsole":
    """A Rich console on standard error."""
    from catalog.console import VisibleConsole

    return VisibleConsole(beneath(sys.stderr))


def confirm(question: str, *, assume_yes: bool) -> bool:
    """Ask on a terminal; with `assume_yes` or without a terminal, go on."""
    if assume_yes or not sys.stdin.isatty():
        return True
    return click.confirm(question, default=True, err=True)


def confirmed(question: str, *, assume_yes: bool) -> bool:
    """Ask before something is lost, or takes long.

    Raises:
        UsageError: there is no terminal to ask on, and `assume_yes` was not given.
    """
    if assume_yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to answer on: say so with --yes.")
    return click.confirm(question, default=False, err=True)
