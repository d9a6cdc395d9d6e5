"""`catalog verify`: is what the catalog says still so?"""

from pathlib import Path

import click

from catalog.cli.options import COUNT, output_options, reading_options
from catalog.store.location import Location


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
@click.option(
    "--device", type=click.Choice(("auto", "cpu", "cuda")), default="auto", show_default=True
)
@output_options
@reading_options
def command(
    model: str | None,
    rows: bool,
    exemplars: int | None,
    published: bool,
    corpus: str | None,
    device: str,
    format_name: str | None,
    output: Path | None,
    max_rows: int,
    db: Location,
    wait_s: float,
) -> None:
    """Check what is stored of MODEL; exit code 8 if anything differs.

    By default every stage's rows are compared with the counts and digests they were loaded with.
    Differences from published counts are reported and do not fail: another revision or dtype may
    move a handful of neurons across a border.

    \b
    Example:
      catalog verify demo --exemplars 50
    """
    from catalog.cli.formats import write_rows
    from catalog.cli.messages import note
    from catalog.errors import MismatchError
    from catalog.queries.verification import drawn_exemplars, verify_rows

    differing: list[str] = []
    if rows or (exemplars is None and not published):
        checks = verify_rows(db, model, wait_s)
        write_rows(checks, format_name, output, max_rows)
        differing += [f"rows of {c['rows_of']}" for c in checks.to_pylist() if not c["agree"]]
    if exemplars is not None:
        from catalog.ingest.recheck import recheck_exemplars

        drawn = drawn_exemplars(db, model, corpus, exemplars, wait_s)
        checks, said = recheck_exemplars(drawn, device)
        write_rows(checks, format_name, output, max_rows)
        note(said)
        differing += [f"neuron {c['neuron_id']}" for c in checks.to_pylist() if not c["agree"]]
    if published:
        from catalog.queries.published import compare_with_published

        compared = compare_with_published(db, model, wait_s)
        write_rows(compared.differences, format_name, output, max_rows)
        n_same = compared.n_counts - compared.differences.num_rows
        note(
            f"{n_same} of {compared.n_counts} counts agree; {compared.n_moved:,} of "
            f"{compared.n_neurons:,} neurons are in another class than published"
        )
    if differing:
        raise MismatchError(
            f"What is stored differs: {', '.join(dict.fromkeys(differing))}. Restore the catalog "
            "from a copy, or redo the stage with catalog ingest --force."
        )
