"""`catalog ablate`: what a set of neurons causes, beside others like it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.api import Catalog
from catalog.cli.options import (
    COUNT,
    NATURAL,
    catalog_options,
    checkpoint_option,
    corpus_options,
    device_option,
    dtype_option,
    engine_options,
    listed,
    saving_option,
)
from catalog.cli.output import Output, output_options
from catalog.taxonomy import BASELINES, FUNCTIONAL_ROLES, IO_CLASSES, METRICS, SIGNS

if TYPE_CHECKING:
    from catalog.ingest.ablation.request import AblateOutcome

KINDS = ("zero", "mean")


@click.command("ablate")
@click.argument("model")
@click.option(
    "--class", "io_classes", multiple=True, type=click.Choice(IO_CLASSES), help="An IO class."
)
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(FUNCTIONAL_ROLES), help="A functional role."
)
@click.option("--neurons", metavar="ID,...", help="Neurons by id, layer.neuron.")
@click.option(
    "--where", metavar="SQL", help="A condition over the columns of the view neurons, in SQL."
)
@click.option("--all-classes", is_flag=True, help="All six IO classes, each for itself.")
@click.option("--typical", is_flag=True, help="Of them the typical neurons alone.")
@click.option(
    "--kind",
    "kinds",
    default="zero",
    show_default=True,
    callback=listed(KINDS),
    help="What takes the place of post: zero, mean (over the corpus), or both: zero,mean.",
)
@click.option("--gate", "gate_sign", type=click.Choice(SIGNS), help="Only where the gate has it.")
@click.option(
    "--post",
    "post_sign",
    type=click.Choice(SIGNS),
    help="Only where post has it, in the canonical reading of flipped neurons.",
)
@click.option(
    "--baseline",
    "baselines",
    default=",".join(BASELINES),
    show_default=True,
    callback=listed(BASELINES),
    help="What random neurons share with the subset's: their layer, or frequency too; '' for none.",
)
@click.option(
    "--draws", "n_draws", type=COUNT, default=5, show_default=True, help="Draws of each baseline."
)
@click.option("--seed", type=NATURAL, default=0, show_default=True, help="Of draws and resamples.")
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    default="loss",
    show_default=True,
    help="What is printed; all are stored.",
)
@click.option("--paper-sign", is_flag=True, help="Print clean minus ablated, as the authors do.")
@corpus_options
@dtype_option
@device_option
@saving_option
@checkpoint_option
@engine_options
@click.option(
    "--tokenizer",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder with the tokenizer, where that of a GGUF file cannot be used.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_options
@catalog_options
def command(
    catalog: Catalog,
    output: Output,
    io_classes: tuple[str, ...],
    roles: tuple[str, ...],
    neurons: str | None,
    where: str | None,
    typical: bool,
    corpus_choice: dict[str, Any],
    metric: str,
    paper_sign: bool,
    yes: bool,
    **settings: Any,
) -> None:
    """Replace what neurons of MODEL add to the stream, and measure what its predictions lose.

    MODEL is an entry of the catalog. Effects are ablated minus clean: a positive loss says that the
    neurons helped. All that one call asks for shares one clean pass. --corpus names a corpus of the
    entry, or texts that are read as by an ingest. --force also redoes ablations that are finished.

    \b
    Example:
      catalog ablate demo --class depletion --max-tokens 20000
    """
    from catalog.api import ablate
    from catalog.cli.ingesting import progress
    from catalog.ingest.ablation.request import AblateRequest
    from catalog.ingest.ablation.subsets import SubsetSpec
    from catalog.ingest.corpus.spec import CorpusSpec

    if output.columns:
        none = catalog.query("ablation_table", ablation="")
        output.require_columns(none.arrow().column_names)
    ids = tuple(each.strip() for each in (neurons or "").split(",") if each.strip())
    subsets = [
        *(SubsetSpec(io_class=each, typical=typical) for each in io_classes),
        *(SubsetSpec(role=each, typical=typical) for each in roles),
        *([] if neurons is None else [SubsetSpec(neurons=ids, typical=typical)]),
        *([] if where is None else [SubsetSpec(where=where, typical=typical)]),
    ]
    request = AblateRequest(
        catalog=catalog.handle,
        subsets=subsets,
        typical=typical,
        corpus=CorpusSpec(**corpus_choice) if corpus_choice["source"] else None,
        max_tokens=corpus_choice["max_tokens"],
        force=output.force,
        **settings,
    )
    with progress(assume_yes=yes) as shown:
        outcome = ablate(request, shown)
    _print(catalog, output, outcome, metric, paper_sign=paper_sign)


def _print(
    catalog: Catalog, output: Output, outcome: "AblateOutcome", metric: str, *, paper_sign: bool
) -> None:
    """The table of all ablations and, for people, where each mattered most."""
    import pyarrow as pa

    from catalog.rows import Rows

    asked = {"model": outcome.model, "corpus": outcome.corpus, "metric": metric}
    found = [
        catalog.query("ablation_table", ablation=each, paper_sign=paper_sign, **asked).arrow()
        for each in outcome.ids
    ]
    rows = pa.concat_tables(found)
    if output.columns or not output.is_for_people:
        output.write(Rows(rows))
        return
    output.write(Rows(rows.drop_columns(["model", "corpus", "metric", "n_positions"])))
    places = [catalog.ablation_places(each, metric).arrow() for each in outcome.ids]
    click.echo()
    output.write(Rows(pa.concat_tables(places)))
