"""What `catalog verify` reads: stored digests against the rows, and exemplars to recompute."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, NamedTuple

from catalog.errors import Command, HintPart, MismatchError, NotFoundError, Option
from catalog.queries.neuron_record import chosen_model
from catalog.queries.records import DrawnExemplar, record_of
from catalog.queries.row_checks import RowCheck, check_files, check_rows
from catalog.queries.sql import sql_text
from catalog.store.handle import Handle
from catalog.store.reading import run_for_dicts
from catalog.tables import bulk_tables

if TYPE_CHECKING:
    import pyarrow as pa


COLUMNS: Final = {
    "rows": ("stage", "corpus", "rows_of", "stored", "found", "agree"),
    "exemplars": (
        *("neuron_id", "corpus", "sign_case", "rank", "context_id", "position", "stored_post"),
        *("found_post", "peak_deviation", "window_deviation", "agree"),
    ),
    "published": ("layer", "io_class", "atypical", "stored", "published", "difference"),
}
"""Of the rows that each kind of check answers with."""


def drawn_exemplars(
    catalog: Handle, model: str | None, corpus: str | None, n: int
) -> list[DrawnExemplar]:
    """`n` exemplars drawn at random, always the same ones, with all that recomputing them needs.

    Raises:
        NotFoundError: no such model, or it has no exemplars.
        UsageError: several models, and none was named.
    """
    with catalog.tables() as connection:
        alias = chosen_model(catalog, connection, model).model
        parameters = {"model": alias, "corpus": corpus, "n": n}
        drawn = run_for_dicts(connection, sql_text("drawn_exemplars"), parameters, catalog.location)
    if not drawn:
        on = f" on a corpus {corpus!r}" if corpus else ""
        raise NotFoundError(
            f"{alias} has no exemplars{on} in the catalog.",
            "Run: ",
            Command("ingest", ("MODEL",), (Option("corpus", "CORPUS"),)),
        )
    return [record_of(DrawnExemplar, row) for row in drawn]


class Verification(NamedTuple):
    """What was checked: a row each, what differs, and a sentence about the whole, if any.

    `unchecked`: what there is nothing to compare with. `results_alone`: stages can compute anew
    all that differs.
    """

    rows: "pa.Table"
    differing: tuple[str, ...]
    said: str | None = None
    unchecked: tuple[str, ...] = ()
    results_alone: bool = True


def of_rows(catalog: Handle, model: str | None) -> Verification:
    """Stored rows against their digests; of a lake its files."""
    checks = _row_checks(catalog, model)
    differing = [check for check in checks if not check.agree and check.stored is not None]
    unchecked = [check for check in checks if not check.agree and check.stored is None]
    return Verification(
        _as_table(checks),
        tuple(f"rows of {check.rows_of}" for check in differing),
        unchecked=tuple(f"rows of {check.rows_of}" for check in unchecked),
        results_alone={check.rows_of for check in differing} <= set(bulk_tables()),
    )


def require_agreement(catalog: Handle, checks: Iterable[Verification]) -> None:
    """Refuse what was checked if anything differs, or could not be compared.

    Raises:
        MismatchError: the message says what.
    """
    checks = list(checks)
    if differing := [what for check in checks for what in check.differing]:
        said = f"What is stored differs: {', '.join(dict.fromkeys(differing))}."
        redo: tuple[HintPart, ...]
        if all(check.results_alone for check in checks):
            redo = ("redo the stage with ", Command("ingest"), " ", Option("force"))
        else:
            redo = ("make it anew: ", Command("drop"), ", ", Command("ingest"))
        raise MismatchError(said, "Restore the catalog from a copy, or ", *redo, ".")
    if unchecked := [what for check in checks for what in check.unchecked]:
        raise MismatchError(
            f"{catalog} keeps no digest that this version of DuckDB can compare with "
            f"{', '.join(dict.fromkeys(unchecked))}, so they were not checked.",
            "Digests of these rows, as they are now, are taken by: ",
            Command("upgrade", options=(Option("db", str(catalog)),)),
        )
    if not any(check.rows.num_rows or check.said for check in checks):
        raise MismatchError(f"{catalog} holds nothing of this model that could be checked.")


def of_exemplars(checks: "pa.Table", said: str) -> Verification:
    """Exemplars that were recomputed with the checkpoint."""
    differing = (f"neuron {each['neuron_id']}" for each in checks.to_pylist() if not each["agree"])
    return Verification(checks, tuple(differing), said)


def of_published(catalog: Handle, model: str | None) -> Verification:
    """Class counts beside those that the paper's authors published; differences do not fail."""
    from catalog.queries.published import compare_with_published

    compared = compare_with_published(catalog, model)
    n_same = compared.n_counts - compared.differences.num_rows
    said = (
        f"{n_same} of {compared.n_counts} counts agree; {compared.n_moved:,} of "
        f"{compared.n_neurons:,} neurons are in another class than published"
    )
    return Verification(compared.differences, (), said)


def _row_checks(catalog: Handle, model: str | None) -> list[RowCheck]:
    if catalog.is_lake:
        return check_files(catalog, model)
    return check_rows(catalog, model)


def _as_table(checks: Sequence[RowCheck]) -> "pa.Table":
    import pyarrow as pa

    schema = pa.schema(
        [
            ("stage", pa.string()),
            ("corpus", pa.string()),
            ("rows_of", pa.string()),
            ("stored", pa.int64()),
            ("found", pa.int64()),
            ("agree", pa.bool_()),
        ]
    )
    return pa.Table.from_pylist([asdict(check) for check in checks], schema)
