"""`catalog models`: what the catalog holds."""

import click

from catalog.api import Catalog
from catalog.cli.options import reading_options
from catalog.cli.output import Output, output_options


@click.command("models")
@output_options
@reading_options
def command(catalog: Catalog, output: Output) -> None:
    """List the models in the catalog and the stages that are finished.

    \b
    Example:
      catalog models
    """
    output.write(catalog.models())
