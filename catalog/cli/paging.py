"""Reports longer than the terminal, in the user's pager."""

import sys
from collections.abc import Iterable

import click

from catalog.reports.blocks import Block
from catalog.reports.terminal import Page
from catalog.visible import beneath


def print_paged(page: Page, blocks: Iterable[Block]) -> None:
    """Print blocks on standard output, through `$PAGER` where the terminal is too small for them.

    Nothing is paged in a pipe, nor where nobody could turn the page.
    """
    with page.console.capture() as captured:
        page.show(blocks)
    text = captured.get()
    is_watched = page.console.is_terminal and sys.stdin.isatty()
    if is_watched and text.count("\n") >= page.console.height:
        click.echo_via_pager(text)
    else:
        beneath(sys.stdout).write(text)
