"""`catalog serve`: the catalog in a browser."""

import os
import sys

import click

from catalog.api import Catalog
from catalog.cli.messages import note
from catalog.cli.options import NumberRange, reading_options
from catalog.errors import EnvironmentFault


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8000,
    show_default=True,
    help="Which port; 0 for any that is free.",
)
@click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="A name under which browsers may ask, besides localhost; may be given several times.",
)
@click.option("--no-sql", is_flag=True, help="Leave out the page that runs SQL.")
@click.option(
    "--sql-seconds",
    type=NumberRange(min=0.1, max=3600),
    default=10,
    show_default=True,
    help="Time limit of a query on that page.",
)
@click.option(
    "--run",
    "allow_run",
    is_flag=True,
    help="Add the page that runs texts through a model that is on this machine, one at a time.",
)
@reading_options
def command(
    catalog: Catalog,
    host: str,
    port: int,
    allowed: tuple[str, ...],
    no_sql: bool,
    sql_seconds: float,
    allow_run: bool,
) -> None:
    """Serve the catalog as web pages, with everything also as JSON, CSV and Parquet.

    Only programs on this machine reach it, unless --host says otherwise: then whoever reaches the
    port reads the whole catalog. It is only read, and open for a moment at a time, so an ingest may
    run meanwhile. Ctrl-C ends it.

    \b
    Example:
      catalog serve --db demo.duckdb
      catalog serve --host 0.0.0.0 --allow-host lab.example.org --no-sql
    """
    try:
        from catalog.pages.serving import bound, serve
        from catalog.pages.settings import settings_for
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"The pages need a package that is not installed ({error.name}). Install it with: "
            "pip install 'neuron-catalog[serve]'"
        ) from error
    settings = settings_for(
        host, allowed, allow_sql=not no_sql, allow_run=allow_run, sql_seconds=sql_seconds
    )
    with catalog.handle.reading():
        pass
    listener = bound(host, port)
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"http://{shown}:{listener.getsockname()[1]}/")
    note(f"Serving {catalog.path}. Ctrl-C ends it.")
    sys.stdout.flush()
    if not serve(catalog, listener, settings):
        # A query that did not hear of the end must not keep the process; it only reads.
        sys.stderr.flush()
        os._exit(0)
