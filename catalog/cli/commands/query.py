"""`catalog query`: the questions that come with the catalog."""

import click

from catalog.api import Catalog
from catalog.cli.options import reading_options
from catalog.cli.output import Output, output_options


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
def command(catalog: Catalog, output: Output, name: str | None, settings: tuple[str, ...]) -> None:
    """Run a named query; without NAME, list them with their parameters.

    \b
    Example:
      catalog query classes_by_layer -p threshold=0.4
    """
    output.write(catalog.queries() if name is None else catalog.query(name, *settings))
