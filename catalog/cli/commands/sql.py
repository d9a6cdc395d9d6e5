"""`catalog sql`: one SELECT of the user's own."""

import sys
from typing import Final

import click

from catalog.api import Catalog
from catalog.cli.describing import described
from catalog.cli.options import reading_options
from catalog.cli.output import Output, output_options
from catalog.errors import UsageError

_LONGEST: Final = 10_000_000


class _SqlCommand(click.Command):
    """Takes SQL that begins with a comment as SQL: no option has a blank after its dashes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f"\n{a}" if a.startswith("-- ") else a for a in args])


@click.command("sql", cls=_SqlCommand)
@click.argument("query", required=False)
@output_options
@reading_options
def command(catalog: Catalog, output: Output, query: str | None) -> None:
    """Ask the catalog anything, in one SELECT.

    QUERY is SQL of DuckDB's dialect, or - to read it from standard input; without it, a shell
    with history and completion opens on a terminal. It may be a SELECT, WITH,
    FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, or EXPLAIN of one; nothing that writes or reads other
    files. `describe` lists the public views, `describe neurons` the columns of one, with what they
    mean.

    \b
    Example:
      catalog sql "select neuron_id, cos_in_out from neurons order by cos_in_out limit 5"
      catalog sql "describe neurons"
    """
    if query is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError('There is no query. Give one: catalog sql "from models"')
        from catalog.cli.shell import run_shell

        run_shell(catalog, output.max_rows)
        return
    text = _read() if query == "-" else query
    rows = described(catalog, text)
    output.write(catalog.sql(text, max_rows=output.limit) if rows is None else rows)


def _read() -> str:
    """Standard input, which may be endless."""
    text = sys.stdin.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise UsageError(f"Standard input is longer than {_LONGEST:,} characters, and no query.")
    return text
