"""Everything that goes to standard error: messages, questions, progress."""

import sys
from typing import TYPE_CHECKING

import click

from catalog.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


def error(text: str) -> None:
    """Say why a command failed."""
    click.secho("Error: ", fg="red", nl=False, err=True)
    click.echo(text, err=True)


def note(text: str) -> None:
    """Say something the user should know."""
    click.echo(text, err=True)


def console() -> "Console":
    """A Rich console on standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def confirm(question: str, *, assume_yes: bool) -> bool:
    """Ask on a terminal; with `assume_yes` or without a terminal, go on."""
    if assume_yes or not sys.stdin.isatty():
        return True
    return click.confirm(question, default=True, err=True)


def confirm_loss(question: str, *, assume_yes: bool) -> bool:
    """Ask before something is lost.

    Raises:
        UsageError: there is no terminal to ask on, and `assume_yes` was not given.
    """
    if assume_yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to answer on: say so with --yes.")
    return click.confirm(question, default=False, err=True)
