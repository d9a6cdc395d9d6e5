"""`catalog sql`: one SELECT of the user's own."""

import sys
from pathlib import Path

import click

from catalog.cli.options import output_options, reading_options
from catalog.store.location import Location


class _SqlCommand(click.Command):
    """Takes SQL that begins with a comment as SQL: no option has a blank after its dashes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f"\n{a}" if a.startswith("-- ") else a for a in args])


@click.command("sql", cls=_SqlCommand)
@click.argument("query", required=False)
@output_options
@reading_options
def command(
    query: str | None,
    format_name: str | None,
    output: Path | None,
    max_rows: int,
    db: Location,
    wait_s: float,
) -> None:
    """Ask the catalog anything, in one SELECT.

    QUERY is SQL of DuckDB's dialect, or - to read it from standard input; without it, a shell
    with history and completion opens on a terminal. It may be a SELECT, WITH,
    FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, or EXPLAIN of one; nothing that writes or reads other
    files. `describe neurons` lists the columns of a view.

    \b
    Example:
      catalog sql "select neuron_id, cos_in_out from neurons order by cos_in_out limit 5"
      catalog sql "select view_name, comment from duckdb_views() where not internal"
    """
    from catalog.cli.formats import LIMITED, chosen_format, write_rows
    from catalog.errors import UsageError
    from catalog.store.reading import fetch_checked

    if query is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError('There is no query. Give one: catalog sql "from models"')
        from catalog.cli.shell import run_shell

        run_shell(db, max_rows, wait_s)
        return
    if query == "-":
        query = sys.stdin.read()
    limit = max_rows + 1 if max_rows and chosen_format(format_name, output) in LIMITED else None
    rows = fetch_checked(db, query, wait_s=wait_s, max_rows=limit)
    write_rows(rows, format_name, output, max_rows)
