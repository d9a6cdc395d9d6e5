"""What `catalog verify` reads: stored digests against the rows, and exemplars to recompute."""

import json
import re
from typing import TYPE_CHECKING, Any, Final

from catalog.errors import DatabaseError, NotFoundError
from catalog.queries.neuron_record import Row, chosen_model
from catalog.queries.own import own_sql
from catalog.store.digests import rows_digest
from catalog.store.location import Location
from catalog.store.opening import DEFAULT_WAIT_S, explaining
from catalog.store.reading import reading, require_file, run_for_dicts

if TYPE_CHECKING:
    import pyarrow as pa

_NAME: Final = re.compile(r"[a-z_]+")


def drawn_exemplars(
    catalog: Location, model: str | None, corpus: str | None, n: int, wait_s: float = DEFAULT_WAIT_S
) -> list[Row]:
    """`n` exemplars drawn at random, always the same ones, with all that recomputing them needs.

    Raises:
        NotFoundError: no such model, or it has no exemplars.
        UsageError: several models, and none was named.
    """
    with reading(require_file(catalog), wait_s, beneath=True) as connection:
        alias = chosen_model(connection, catalog, model)["model"]
        parameters = {"model": alias, "corpus": corpus, "n": n}
        drawn = run_for_dicts(connection, own_sql("drawn_exemplars"), parameters, catalog)
    if not drawn:
        on = f" on a corpus {corpus!r}" if corpus else ""
        raise NotFoundError(
            f"{alias} has no exemplars{on} in the catalog. Run: catalog ingest MODEL "
            "--corpus CORPUS"
        )
    return drawn


def _noted(run: Row, catalog: Location) -> dict[str, Any]:
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
        "checked. Restore it from a copy, or redo the stage with catalog ingest --force."
    )


def verify_rows(catalog: Location, model: str | None, wait_s: float = DEFAULT_WAIT_S) -> "pa.Table":
    """One row per table of each finished stage: rows stored and found, and whether they agree.

    Raises:
        NotFoundError, UsageError: no such model, or it is not clear which.
    """
    import pyarrow as pa

    checks: list[dict[str, Any]] = []
    with reading(require_file(catalog), wait_s, beneath=True) as connection, explaining(catalog):
        alias = chosen_model(connection, catalog, model)["model"]
        runs = run_for_dicts(connection, own_sql("digests"), {"model": alias}, catalog)
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
