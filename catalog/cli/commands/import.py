"""`catalog import`: what others say of neurons, into the catalog."""  # noqa: N999

from pathlib import Path

import click

from catalog.api import Catalog
from catalog.cli.options import catalog_options
from catalog.ingest.descriptions.formats import FORMATS


def _pairs(_ctx: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Names of models with the aliases that they have here."""
    pairs = [text.rpartition("=") for text in texts]
    for text, (name, _, alias) in zip(texts, pairs, strict=True):
        if not (name and alias):
            raise click.BadParameter(f"{text!r} is not NAME=ALIAS")
    return {name: alias for name, _, alias in pairs}


@click.command("import")
@click.argument(
    "what", type=click.Choice(("descriptions",)), metavar="descriptions", expose_value=False
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(tuple(FORMATS)),
    required=True,
    help="Who wrote it; table is a CSV, Parquet or JSON lines file of your own.",
)
@click.option(
    "--map",
    "names",
    multiple=True,
    callback=_pairs,
    metavar="NAME=ALIAS",
    help="A model by the name that FILE has for it.",
)
@click.option("--model", metavar="ALIAS", help="Of which model FILE is, where it names none.")
@catalog_options
def command(
    catalog: Catalog,
    file: Path,
    file_format: str,
    names: dict[str, str],
    model: str | None,
) -> None:
    """Import descriptions of neurons from FILE, or from a folder.

    What is there already stays as it is, so that an import can be run again; a description of the
    same key that was changed replaces the one before. Neurons that are not here are counted and
    named. A table has the columns description, and layer and neuron or neuron_id, and may have
    model, sign_case, explainer, scorer, score, source and source_key.

    \b
    Example:
      catalog import descriptions batch-0.jsonl.gz --format neuronpedia --map gpt2-small=gpt2
    """
    from catalog.cli.messages import note

    imported = catalog.import_descriptions(file, file_format, names, model)
    for alias, n_new in imported.n_new.items():
        n_known = imported.n_read[alias] - n_new
        note(f"{alias}: {n_new:,} descriptions imported, {n_known:,} were there already")
    for sentence in imported.left_out:
        note(sentence)
