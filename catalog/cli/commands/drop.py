"""`catalog drop`: an entry, or a corpus or an ablation of it, out of the catalog."""

import click

from catalog.api import Catalog
from catalog.cli.options import catalog_options


@click.command("drop")
@click.argument("model", required=False)
@click.option(
    "--corpus", metavar="NAME", help="Only what the model does on this corpus; by default all."
)
@click.option("--ablation", metavar="ID", help="Only this ablation; MODEL may be left out.")
@click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal.")
@catalog_options
def command(
    catalog: Catalog, model: str | None, corpus: str | None, ablation: str | None, yes: bool
) -> None:
    """Remove MODEL from the catalog, and what only it refers to.

    The file keeps its size and uses the space for what comes next; `catalog compact` gives it back.
    A drop that was interrupted is completed when it is run again.

    \b
    Example:
      catalog drop olmo-7b-0424 --corpus wikitext
    """
    from catalog.cli.messages import confirmed, note
    from catalog.errors import Command, Declined, Option, UsageError, command_line

    found = catalog.find_drop(model, corpus, ablation)
    what = found.model if corpus is None else f"the corpus {corpus} of {model}"
    if ablation is not None:
        what = f"the ablation {ablation} of {found.model}"
    done = f"dropped {what}"
    if found.model_id is None:
        done = "a drop that was interrupted is complete"
    else:
        stages = ", ".join(found.stages) or "no finished stage"
        if found.n_written and not yes:
            plural = "" if found.n_written == 1 else "s"
            raise UsageError(
                f"{what} has {found.n_written:,} description{plural} written by hand, which no "
                "file brings back.",
                "Keep what is there with: ",
                Command("export", ("FOLDER",), (Option("format", "jsonl"),)),
                "; drop it with ",
                Option("yes"),
                ".",
            )
        if not confirmed(f"Drop {what} ({stages}) from {catalog.path}?", assume_yes=yes):
            raise Declined("Nothing was dropped.")
    catalog.drop(found)
    compact = command_line(Command("compact", options=(Option("db", str(catalog.path)),)))
    note(f"{done}; {catalog.path} keeps its size, and shrinks with: {compact}")
