"""`catalog drop`: an entry, or one corpus of it, out of the catalog."""

from pathlib import Path

import click

from catalog.cli.options import catalog_options


@click.command("drop")
@click.argument("model")
@click.option(
    "--corpus", metavar="NAME", help="Only what the model does on this corpus; by default all."
)
@click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal.")
@catalog_options
def command(model: str, corpus: str | None, yes: bool, db: Path, wait_s: float) -> None:
    """Remove MODEL from the catalog, and what only it refers to.

    The file keeps its size and uses the space for what comes next; `catalog compact` gives it back.
    A drop that was interrupted is completed when it is run again.

    \b
    Example:
      catalog drop olmo-7b-0424 --corpus wikitext
    """
    from catalog.cli.messages import confirm_loss, note
    from catalog.errors import Declined
    from catalog.store.dropping import drop, find_drop
    from catalog.store.handle import Handle

    found = find_drop(Handle(db, wait_s), model, corpus)
    what = model if corpus is None else f"the corpus {corpus} of {model}"
    if found.model_id is not None:
        stages = ", ".join(found.stages) or "no finished stage"
        if not confirm_loss(f"Drop {what} ({stages}) from {db}?", assume_yes=yes):
            raise Declined("Nothing was dropped.")
    drop(found)
    done = (
        "a drop that was interrupted is complete" if found.model_id is None else f"dropped {what}"
    )
    note(f"{done}; {db} keeps its size, and shrinks with: catalog compact --db {db}")
