"""`catalog query`: the questions that come with the catalog."""

from typing import Final

import click

from catalog.api import Catalog
from catalog.cli.options import reading_options
from catalog.cli.output import Output, output_options


def _query_names(_ctx: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    from catalog.queries import query_names

    return [name for name in query_names() if name.startswith(begun)]


_ASKED: Final = f"{__name__}.asked"


class _QueryCommand(click.Command):
    """Its help, after the name of a query, is about that query."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # What --help is about stands among the arguments, which click reads after it.
        values, _, _ = self.make_parser(ctx).parse_args(list(args))
        name = values.get("name")
        ctx.meta[_ASKED] = name if isinstance(name, str) else None
        return super().parse_args(ctx, args)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        name = ctx.meta.get(_ASKED)
        if not name:
            super().format_help_text(ctx, formatter)
            return
        from catalog.queries import named_query

        query = named_query(name)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(query.doc)
            if query.needs:
                formatter.write_text(f"Reads rows of the stages: {', '.join(query.needs)}.")
        with formatter.section("Parameters of " + name):
            formatter.write_dl([(f"-p {each.usage}", each.meaning) for each in query.parameters])


@click.command("query", cls=_QueryCommand)
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

    What the parameters of a query mean is told by NAME --help.

    \b
    Example:
      catalog query classes_by_layer -p threshold=0.4
    """
    output.write(catalog.queries() if name is None else catalog.query(name, *settings))
