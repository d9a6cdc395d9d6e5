"""What `catalog verify` reads: stored digests against the rows, and exemplars to recompute."""

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from catalog.errors import Command, DatabaseError, NotFoundError, Option
from catalog.queries.neuron_record import chosen_model
from catalog.queries.records import DrawnExemplar, record_of
from catalog.queries.sql import sql_text
from catalog.store.digests import rows_digest
from catalog.store.handle import Handle
from catalog.store.opening import explaining
from catalog.store.reading import run_for_dicts

if TYPE_CHECKING:
    import pyarrow as pa

_NAME: Final = re.compile(r"[a-z_0-9]+")


def drawn_exemplars(
    catalog: Handle, model: str | None, corpus: str | None, n: int
) -> list[DrawnExemplar]:
    """`n` exemplars drawn at random, always the same ones, with all that recomputing them needs.

    Raises:
        NotFoundError: no such model, or it has no exemplars.
        UsageError: several models, and none was named.
    """
    with catalog.tables() as connection:
        alias = chosen_model(connection, catalog.location, model).model
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


def _noted(run: dict[str, Any], catalog: Handle) -> dict[str, Any]:
    """n_rows, digest and columns that were noted when a run's rows of a table were loaded.

    Raises:
        DatabaseError: the notes are not those that an ingest writes.
    """
    try:
        stored: dict[str, Any] = json.loads(run["digest"])
        names = [run["bulk_table"], *stored["columns"]]
        if all(map(_NAME.fullmatch, names)) and {"n_rows", "digest"} <= stored.keys():
            return stored
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise DatabaseError(
        f"What {catalog} notes of the stage {run['stage']} is damaged, so its rows cannot be "
        "checked.",
        "Restore it from a copy, or redo the stage with ",
        Command("ingest", options=(Option("force"),)),
        ".",
    )


class Verification(NamedTuple):
    """What was checked: a row each, what differs, and a sentence about the whole, if any."""

    rows: "pa.Table"
    differing: tuple[str, ...]
    said: str | None = None


def of_rows(catalog: Handle, model: str | None) -> Verification:
    """Digests of the stored rows against those that were noted when they were loaded."""
    checks = verify_rows(catalog, model)
    differing = (
        f"rows of {check['rows_of']}" for check in checks.to_pylist() if not check["agree"]
    )
    return Verification(checks, tuple(differing))


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


def verify_rows(catalog: Handle, model: str | None) -> "pa.Table":
    """One row per table of each finished stage: rows stored and found, and whether they agree.

    Raises:
        NotFoundError, UsageError: no such model, or it is not clear which.
    """
    import pyarrow as pa

    checks: list[dict[str, Any]] = []
    with catalog.tables() as connection, explaining(catalog.location):
        alias = chosen_model(connection, catalog.location, model).model
        runs = run_for_dicts(connection, sql_text("digests"), {"model": alias}, catalog.location)
        for run in runs:
            stored = _noted(run, catalog)
            found = rows_digest(
                connection, run["bulk_table"], run["current_run_id"], stored["columns"]
            )
            checks.append(
                {
                    "stage": run["stage"],
                    "corpus": run["corpus"],
                    "rows_of": run["bulk_table"],
                    "stored": stored["n_rows"],
                    "found": found.n_rows,
                    "agree": list(found) == [stored["n_rows"], stored["digest"]],
                }
            )
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
    return pa.Table.from_pylist(checks, schema)
