"""`catalog verify`: is what the catalog says still so?"""

from pathlib import Path

import click

from catalog.api import Catalog
from catalog.cli.options import (
    COUNT,
    checkpoint_option,
    device_option,
    reading_options,
)
from catalog.cli.output import Output, output_options


@click.command("verify")
@click.argument("model", required=False)
@click.option("--rows", is_flag=True, help="Digests of the stored rows, offline (the default).")
@click.option(
    "--exemplars",
    type=COUNT,
    metavar="N",
    help="Recompute N exemplars drawn at random, with the checkpoint.",
)
@click.option(
    "--published",
    is_flag=True,
    help="Compare class counts by layer with those that the paper's authors published.",
)
@click.option("--corpus", metavar="NAME", help="Exemplars of this corpus only.")
@device_option
@checkpoint_option
@output_options
@reading_options
def command(
    catalog: Catalog,
    output: Output,
    model: str | None,
    rows: bool,
    exemplars: int | None,
    published: bool,
    corpus: str | None,
    device: str,
    checkpoint: Path | None,
) -> None:
    """Check what is stored of MODEL; exit code 8 if anything differs, or could not be checked.

    By default all rows that tell of it are compared with the counts and digests that are kept of
    them, and every block of the file is read; of a lake, the bytes of its files. Digests find
    damage, not somebody who takes them anew. Differences from published counts are reported and
    do not fail: another revision or dtype may move a handful of neurons across a border.

    \b
    Example:
      catalog verify demo --exemplars 50
    """
    from catalog.cli.messages import note
    from catalog.errors import UsageError
    from catalog.queries.verification import COLUMNS
    from catalog.rows import Rows

    if checkpoint is not None and exemplars is None:
        raise UsageError("--checkpoint goes with --exemplars: nothing else reads it.")

    rows = rows or (exemplars is None and not published)
    asked = {"rows": rows, "exemplars": exemplars is not None, "published": published}
    for kind, is_asked in asked.items():
        if is_asked:
            output.require_columns(COLUMNS[kind])
    checks = catalog.verify(
        model,
        rows=rows,
        exemplars=exemplars,
        published=published,
        corpus=corpus,
        device=device,
        checkpoint=checkpoint,
    )
    for check in checks:
        output.write(Rows(check.rows))
        if check.said:
            note(check.said)
    catalog.require_agreement(checks)
