"""Runs, which of them the views show, and digests of what they wrote."""

from typing import Final

from catalog.declaration import Column, Table
from catalog.stages import RUN_KINDS
from catalog.tables.columns import MODEL_ID, OF_CORPUS, RUN_ID

RUN_TABLES: Final = (
    Table(
        "ingest_run",
        "One row per stage of an ingest.",
        "run",
        (
            RUN_ID,
            MODEL_ID,
            Column("stage", "TEXT", f"one of {', '.join(each.name for each in RUN_KINDS)}"),
            Column("status", "TEXT", "running, loading, finished, superseded or abandoned"),
            Column("started_at", "TIMESTAMP", "when it began, UTC"),
            Column("finished_at", "TIMESTAMP", "when its rows were shown, UTC", nullable=True),
            Column("device", "TEXT", "cpu or cuda"),
            Column("dtype", "TEXT", "of the computation"),
            Column("parameters", "TEXT", "what the rows depend on beside the checkpoint"),
            Column("versions", "TEXT", "of the software that made them"),
            Column(
                "notes",
                "TEXT",
                "counts worth keeping: NULL cosines, zero columns, seconds",
                nullable=True,
            ),
            Column("n_units", "INTEGER", "units of work (layers, batches) of the stage"),
            Column("n_done", "INTEGER", "units in the catalog"),
            OF_CORPUS,
            Column("stage_version", "INTEGER", "version of the stage's computation, from 1"),
            Column(
                "subject",
                "TEXT",
                "which of several results of the stage: id of an ablation or an import, earlier "
                "step of a drift; else NULL",
                nullable=True,
            ),
            Column(
                "sample_code",
                "TEXT",
                "how its samples are written, 'linear' or 'logarithmic'; NULL where there are none",
                nullable=True,
            ),
        ),
    ),
    Table(
        "current_rows",
        "Which run's rows of a table the views show: one row per table, entry and corpus.",
        "run",
        (Column("bulk_table", "TEXT", "name of the table"), MODEL_ID, RUN_ID, OF_CORPUS),
    ),
    Table(
        "row_digest",
        "One row per table and owner of rows that readers see: what `verify` compares these with.",
        "digests",
        (
            Column("of_table", "TEXT", "name of the table"),
            Column("owner_id", "INTEGER", "number of the run, entry, ... the rows go with; else 0"),
            Column("columns", "TEXT[]", "the columns of which the digest is"),
            Column("n_rows", "BIGINT", "how many rows there are"),
            Column("digest", "TEXT", "sum of their hashes, in hexadecimal"),
            Column("hashing", "TEXT", "hash of a fixed value: others mean another hash function"),
        ),
    ),
)
