"""`catalog query`: the questions that come with the catalog."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.cli.options import output_options, reading_options
from catalog.store.location import Location

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.queries import NamedQuery


def _query_names(_ctx: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    from catalog.queries import query_names

    return [name for name in query_names() if name.startswith(begun)]


@click.command("query")
@click.argument("name", required=False, shell_complete=_query_names)
@click.option(
    "-p",
    "--parameter",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a parameter of the query; may be given several times.",
)
@output_options
@reading_options
def command(
    name: str | None,
    settings: tuple[str, ...],
    format_name: str | None,
    output: Path | None,
    max_rows: int,
    db: Location,
    wait_s: float,
) -> None:
    """Run a named query; without NAME, list them with their parameters.

    \b
    Example:
      catalog query classes_by_layer -p threshold=0.4
    """
    from catalog.cli.formats import write_rows
    from catalog.queries import listing, named_query

    if name is None:
        rows = listing()
    else:
        query = named_query(name)
        rows = _answer(query, query.bound(settings), db, wait_s)
    write_rows(rows, format_name, output, max_rows)


def _answer(query: "NamedQuery", values: dict[str, Any], db: Location, wait_s: float) -> "pa.Table":
    """The rows; a stage that they need and nobody ingested yet is announced."""
    from catalog.cli.messages import note
    from catalog.queries.parameters import require_known
    from catalog.queries.stages import missing_stages
    from catalog.store.reading import reading, run_query

    with reading(db, wait_s) as connection:
        require_known(connection, [(p.type, values[p.name]) for p in query.parameters], db)
        model = values.get("model")
        for missing in missing_stages(connection, query.needs, model, db):
            who = f"{model} lacks" if model else "No model has"
            note(f"{who} the stage {missing.stage}. To ingest it: {missing.command}")
        return run_query(connection, query.sql, values, db)
