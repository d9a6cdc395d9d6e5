"""`catalog export`: models of the catalog for others, and other programs."""

import click

from catalog.api import Catalog
from catalog.cli.options import LOCATION, source_options
from catalog.errors import Option, UsageError
from catalog.sharing import EXPLAINERS
from catalog.store.location import Location

_WHOLE = ("parquet", "csv", "jsonl", "duckdb")
"""Formats of all that there is of models."""


@click.command("export")
@click.argument("what", nargs=-1, type=click.Choice(("site",)), metavar="[site]")
@click.argument("target", type=LOCATION)
@click.option("--model", "models", multiple=True, metavar="ALIAS", help="A model; without, all.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice((*_WHOLE, *EXPLAINERS)),
    help="A lake of Parquet files (the default), one text file per view, a catalog file, or "
    "exemplars of neurons as Neuronpedia or delphi read them.",
)
@click.option(
    "--where",
    metavar="CONDITION",
    help="Which neurons of a site or of exemplars, in SQL over the view neurons.",
)
@click.option("--corpus", metavar="NAME", help="On which corpus their exemplars are.")
@click.option("--force", is_flag=True, help="Write what is there already anew.")
@click.option("--yes", is_flag=True, help="Thousands of neurons are wanted.")
@source_options
def command(
    catalog: Catalog,
    what: tuple[str, ...],
    target: Location,
    models: tuple[str, ...],
    format_name: str | None,
    where: str | None,
    corpus: str | None,
    force: bool,
    yes: bool,
) -> None:
    """Export models to TARGET: a folder, or a URL such as s3://bucket/lake.

    By default TARGET becomes a lake of Parquet files, TARGET/VIEW/model=ALIAS/, which DuckDB,
    Polars, Spark and Trino query in place, and every command that asks (sql, query, show, find,
    compare, plot, models) with --db TARGET. More models can be added to it. A URL needs its fsspec
    package, such as s3fs. With --format csv or jsonl, TARGET gets one file per view; with --format
    duckdb, TARGET is a new catalog file with these models alone.

    With `site` before it, TARGET becomes a folder of web pages that any host serves: the page of
    each chosen neuron, as `catalog show --html` writes it, and an index. With --format neuronpedia
    or delphi, it gets exemplars of the chosen neurons, on which these explainers run.

    \b
    Example:
      catalog export lake --model demo
      catalog sql "from models" --db lake
      catalog export site depletion --where "io_class = 'depletion'"
      catalog export quotes --format neuronpedia --where "functional_role = 'suppression'"
    """
    from catalog.cli.messages import note

    if not what and format_name not in EXPLAINERS:
        given = {"where": where is not None, "corpus": corpus is not None, "yes": yes}
        for name in (name for name, is_given in given.items() if is_given):
            raise UsageError("", Option(name), " is of a site, or of exemplars for an explainer.")
        catalog.export(target, models, format_name or "parquet", force=force, say=note)
        return
    if len(what) > 1 or (what and format_name is not None):
        raise UsageError("A site goes to one folder, and has no ", Option("format"), ".")
    if len(models) > 1:
        raise UsageError("Only a whole export takes several models.")
    chosen = (models[0] if models else None, where, corpus)
    if format_name is None:
        catalog.export_site(target, *chosen, force=force, yes=yes, say=note)
    else:
        catalog.export_exemplars(target, format_name, *chosen, force=force, yes=yes, say=note)
