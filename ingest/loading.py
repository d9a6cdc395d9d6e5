"""Loads staged rows into the catalog, a few layers at a time, and shows them when all are in."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from catalog.declaration import ROWS_PER_TRANSACTION
from catalog.errors import EnvironmentFault
from catalog.ingest.progress import Progress
from catalog.ingest.stages.stage import Runnable
from catalog.store.digests import rows_digest
from catalog.store.handle import Handle
from catalog.store.opening import explaining
from catalog.store.staging import Staging
from catalog.store.writing import (
    finish_run,
    insert_neuron_columns,
    insert_rows,
    record_loaded,
)
from catalog.tables import bulk_tables


@dataclass(frozen=True)
class Load:
    """Where the rows of a run come from and go to."""

    catalog: Handle
    staging: Staging
    stage: Runnable
    model_id: int
    run_id: int
    n_parts: int


def load(work: Load, n_done: int, notes: Mapping[str, Any], progress: Progress) -> None:
    """Load parts (layers) `n_done` and up, each in the transaction that records it; then show all.

    Raises:
        DatabaseLocked: others kept the catalog open; what is staged stays for the next run.
        EnvironmentFault: staged rows are gone or damaged.
    """
    started = time.monotonic()
    progress.begin(f"loading {work.stage.title}", work.n_parts, n_done)
    if n_done == 0:
        work.stage.load_references(work.catalog, work.model_id)
    while n_done < work.n_parts:
        before = n_done
        with work.catalog.writing() as connection:
            n_rows = 0
            while n_done < work.n_parts and n_rows < ROWS_PER_TRANSACTION:
                n_rows += _load_layer(connection, work, n_done)
                n_done += 1
            record_loaded(connection, work.run_id, n_done)
        progress.advance(n_done - before)
    record = {"load_seconds": round(time.monotonic() - started, 3), "rows": _digests(work)}
    with work.catalog.writing() as connection:
        finish_run(connection, work.run_id, bulk_tables(work.stage.name), {**notes, **record})
    progress.end()


def _digests(work: Load) -> dict[str, dict[str, Any]]:
    """Count and digest of the rows loaded, by table; read-only, so that readers need not wait."""
    digests = {}
    with work.catalog.tables("") as connection, explaining(work.catalog.location):
        for table in bulk_tables(work.stage.name):
            columns = work.staging.read(0, table).column_names
            if columns:
                found = rows_digest(connection, table, work.run_id, columns)
                digests[table] = {**found._asdict(), "columns": columns}
    return digests


def _load_layer(connection: duckdb.DuckDBPyConnection, work: Load, layer: int) -> int:
    n_rows = 0
    for table in bulk_tables(work.stage.name):
        rows = work.staging.read(layer, table)
        if not rows.column_names:
            raise EnvironmentFault(
                f"The staged rows of {table} for layer {layer} were removed from "
                f"{work.staging.folder} before they were loaded. Run the same command again."
            )
        if table == "neuron":
            insert_neuron_columns(connection, work.model_id, work.run_id, rows)
        elif rows.num_rows:
            insert_rows(connection, table, work.run_id, rows)
        n_rows += rows.num_rows
    return n_rows
