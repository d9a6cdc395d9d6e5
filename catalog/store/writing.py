"""Writing to a catalog: entries, runs, and the rows of a run, in short transactions.

A run's rows are loaded under its own `run_id`, which no view shows; one last transaction makes them
current and deletes those they replace. A load that dies is carried on where it stopped.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from catalog.errors import AliasTaken, Option
from catalog.stages import SampleCode
from catalog.store.contents import FILE, check_columns
from catalog.store.location import DEFAULT_WAIT_S
from catalog.store.opening import explaining, missing
from catalog.store.sealing import disagreeing, seal, seals, unsettled
from catalog.store.version import check_version, schema_version
from catalog.store.walls import open_writer
from catalog.tables import bulk_tables

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ModelEntry:
    """What the catalog states of one checkpoint read with one kind of weights.

    `quantization` names the type of its MLP's tensors, None where they are not quantized.
    `wire_floor` is the |cosine| above which wires are kept. What follows is about experts
    (`catalog.layers.LayerSizes`), and None without. A checkpoint of a training series has its
    `step` in it.
    """

    alias: str
    source: str
    revision: str | None
    fingerprint: str
    family: str
    activation_fn: str
    n_layers: int
    d_model: int
    d_mlp: int
    d_vocab: int
    weights: str
    chance_95: float
    chance_999: float
    quantization: str | None = None
    gated: bool = True
    wire_floor: float | None = None
    n_experts: int | None = None
    d_expert: int | None = None
    d_shared: int | None = None
    d_dense: int | None = None
    dense_layers: Sequence[int] | None = None
    series: str | None = None
    step: int | None = None
    train_tokens: int | None = None


@dataclass(frozen=True)
class RunStart:
    """What is known of a run before its first unit of work.

    `subject` tells several results of a stage on one corpus apart: the id of an ablation.
    `sample_code` is that of the run's samples, where it takes some.
    """

    stage: str
    device: str
    dtype: str
    parameters: Mapping[str, Any]
    versions: Mapping[str, str]
    n_units: int
    stage_version: int
    subject: str | None = None
    sample_code: SampleCode | None = None


@dataclass(frozen=True)
class FinishedRun:
    """A run whose rows are shown."""

    finished_at: datetime
    parameters: Mapping[str, Any]
    stage_version: int


@contextmanager
def writing(path: Path, wait_s: float = DEFAULT_WAIT_S) -> Iterator[duckdb.DuckDBPyConnection]:
    """One transaction on the catalog: committed at the end of the block, rolled back if it raises.

    It ends by sealing (`catalog.store.sealing`) what the block made or changed.

    Raises:
        DatabaseMissing: the file has gone; none is made in its place.
        DatabaseLocked: others kept the file open for all of `wait_s`.
        SchemaOutdated, SchemaTooNew: the catalog is of another version of the schema.
    """
    if not path.exists():
        raise missing(path)
    connection = open_writer(path, wait_s)
    try:
        check_version(schema_version(connection, path), path)
        with explaining(path):
            check_columns(connection, path, FILE)
            connection.begin()
            try:
                damaged = disagreeing(connection, unsettled(seals(connection)))
                yield connection
                seal(connection, damaged)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
    finally:
        with explaining(path):
            connection.close()


def known_entry(connection: duckdb.DuckDBPyConnection, entry: ModelEntry) -> bool:
    """Whether this checkpoint was entered before, under any alias.

    Raises:
        AliasTaken: the alias belongs to another checkpoint or kind of weights.
    """
    _find_entry(connection, entry)
    row = connection.execute(
        "select 1 from model where fingerprint = $1 and family = $2 and weights != 'raw' limit 1",
        [entry.fingerprint, entry.family],
    ).fetchone()
    return row is not None


def register_model(connection: duckdb.DuckDBPyConnection, entry: ModelEntry) -> int:
    """The id of the entry, made if its alias is new.

    Raises:
        AliasTaken: the alias belongs to another checkpoint or kind of weights.
    """
    known = _find_entry(connection, entry)
    if known is not None:
        return known
    model_id = next_id(connection, "model", "model_id")
    insert_row(
        connection,
        "model",
        {
            "model_id": model_id,
            **vars(entry),
            "ingested_at": _now(),
        },
    )
    return model_id


def start_run(
    connection: duckdb.DuckDBPyConnection, model_id: int, start: RunStart, corpus_id: int | None
) -> int:
    """Record that a stage began; an unfinished earlier run of it is abandoned, its rows deleted."""
    abandoned = connection.execute(
        "update ingest_run set status = 'abandoned' where model_id = $1 and stage = $2 "
        "and corpus_id is not distinct from $3 and subject is not distinct from $4 "
        "and status in ('running', 'loading') returning run_id, n_done",
        [model_id, start.stage, corpus_id, start.subject],
    ).fetchall()
    for table in bulk_tables():
        for run_id, _ in abandoned:
            connection.execute(f"delete from {table} where run_id = $1", [run_id])
    run_id = next_id(connection, "ingest_run", "run_id")
    insert_row(
        connection,
        "ingest_run",
        {
            "run_id": run_id,
            "model_id": model_id,
            "corpus_id": corpus_id,
            "stage": start.stage,
            "status": "running",
            "started_at": _now(),
            "device": start.device,
            "dtype": start.dtype,
            "parameters": _json(start.parameters),
            "versions": _json(start.versions),
            "n_units": start.n_units,
            "n_done": 0,
            "stage_version": start.stage_version,
            "subject": start.subject,
            "sample_code": start.sample_code,
        },
    )
    return run_id


def unfinished_run(
    connection: duckdb.DuckDBPyConnection, model_id: int, start: RunStart, corpus_id: int | None
) -> tuple[int, int] | None:
    """(run_id, n_done) of a run of the stage that was interrupted and asked for the same."""
    row = connection.execute(
        "select run_id, n_done from ingest_run where model_id = $1 and stage = $2 "
        "and corpus_id is not distinct from $3 and status in ('running', 'loading') "
        "and device = $4 and dtype = $5 and parameters = $6 and versions = $7 and n_units = $8 "
        "and stage_version = $9 and subject is not distinct from $10 "
        "and sample_code is not distinct from $11 order by run_id desc",
        [
            model_id,
            start.stage,
            corpus_id,
            start.device,
            start.dtype,
            _json(start.parameters),
            _json(start.versions),
            start.n_units,
            start.stage_version,
            start.subject,
            start.sample_code,
        ],
    ).fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


def finished_run(
    connection: duckdb.DuckDBPyConnection,
    model_id: int,
    stage: str,
    corpus_id: int | None,
    subject: str | None = None,
) -> FinishedRun | None:
    """The run of the stage whose rows are shown, if there is one."""
    row = connection.execute(
        "select finished_at, parameters, stage_version from ingest_run "
        "where model_id = $1 and stage = $2 and corpus_id is not distinct from $3 "
        "and subject is not distinct from $4 and status = 'finished'",
        [model_id, stage, corpus_id, subject],
    ).fetchone()
    return None if row is None else FinishedRun(row[0], json.loads(row[1]), row[2])


def record_loaded(connection: duckdb.DuckDBPyConnection, run_id: int, n_done: int) -> None:
    """Note, in the transaction that loads them, how many units of the run are in the catalog."""
    connection.execute(
        "update ingest_run set status = 'loading', n_done = $2 where run_id = $1", [run_id, n_done]
    )


def insert_neuron_columns(
    connection: duckdb.DuckDBPyConnection, model_id: int, run_id: int, rows: "pa.Table"
) -> None:
    """Append rows of `neuron` with the stage's columns from `rows`, all others as shown today.

    One table for the columns of every stage: joining tables of four million rows would cost each
    query of the `neurons` view a second.
    """
    own = [name for name in rows.column_names if name not in ("layer", "neuron")]
    connection.register("staged_rows", rows)
    connection.execute(
        f"""
        insert into neuron by name
        select $2::integer as run_id, s.*, n.* exclude (run_id, layer, neuron, {", ".join(own)})
        from staged_rows s
        left join (
            select * from neuron where run_id =
                (select run_id from current_rows where bulk_table = 'neuron' and model_id = $1)
        ) n using (layer, neuron)
        order by s.layer, s.neuron
        """,
        [model_id, run_id],
    )
    connection.unregister("staged_rows")


def insert_rows(
    connection: duckdb.DuckDBPyConnection, table: str, run_id: int, rows: "pa.Table"
) -> None:
    """Append `rows`, which have the table's columns but `run_id`, as rows of the run."""
    connection.register("staged_rows", rows)
    connection.execute(
        f"insert into {table} by name select $1::integer as run_id, * from staged_rows", [run_id]
    )
    connection.unregister("staged_rows")


def finish_run(
    connection: duckdb.DuckDBPyConnection,
    run_id: int,
    tables: tuple[str, ...],
    notes: Mapping[str, Any],
) -> None:
    """Show the run's rows and delete those they replace, all in the caller's transaction.

    A clock that was set back meanwhile does not make it end before it began.
    """
    row = connection.execute(
        "select model_id, corpus_id, stage, subject from ingest_run where run_id = $1", [run_id]
    ).fetchone()
    assert row is not None
    model_id, corpus_id, stage, subject = row
    key = [model_id, corpus_id, subject]
    # Several results of one stage stand beside each other, each replaced by its like alone.
    replaced = (
        "select c.run_id from current_rows c join ingest_run r using (run_id) "
        "where c.bulk_table = $4 and c.model_id = $1 and c.corpus_id is not distinct from $2 "
        "and r.subject is not distinct from $3"
    )
    for table in tables:
        connection.execute(
            f"delete from {table} where run_id in ({replaced})",
            [*key, table],
        )
        connection.execute(
            f"delete from current_rows where bulk_table = $4 and run_id in ({replaced})",
            [*key, table],
        )
        connection.execute(
            "insert into current_rows by name select $3 as bulk_table, $1 as model_id, "
            "$2 as corpus_id, $4 as run_id",
            [model_id, corpus_id, table, run_id],
        )
    connection.execute(
        "update ingest_run set status = 'superseded' where model_id = $1 "
        "and corpus_id is not distinct from $2 and subject is not distinct from $3 "
        "and stage = $4 and status = 'finished'",
        [*key, stage],
    )
    connection.execute(
        "update ingest_run set status = 'finished', finished_at = greatest($2, started_at), "
        "notes = $3 where run_id = $1",
        [run_id, _now(), _json(notes)],
    )


def register_vocabulary(
    connection: duckdb.DuckDBPyConnection, model_id: int, digest: str, pieces: "pa.Table"
) -> None:
    """Store the pieces (columns token_id, token) once and tie the model to them."""
    row = connection.execute(
        "select vocabulary_id from vocabulary where digest = $1", [digest]
    ).fetchone()
    if row is None:
        vocabulary_id = next_id(connection, "vocabulary", "vocabulary_id")
        insert_row(
            connection,
            "vocabulary",
            {"vocabulary_id": vocabulary_id, "digest": digest, "n_tokens": pieces.num_rows},
        )
        connection.register("pieces", pieces)
        connection.execute(
            "insert into token by name select $1::integer as vocabulary_id, * from pieces",
            [vocabulary_id],
        )
        connection.unregister("pieces")
    else:
        vocabulary_id = row[0]
    connection.execute(
        "update model set vocabulary_id = $2 where model_id = $1", [model_id, vocabulary_id]
    )


def _find_entry(connection: duckdb.DuckDBPyConnection, entry: ModelEntry) -> int | None:
    row = connection.execute(
        "select model_id, source, revision, fingerprint, weights from model where alias = $1",
        [entry.alias],
    ).fetchone()
    if row is None:
        return None
    model_id, source, revision, fingerprint, weights = row
    if (fingerprint, weights) != (entry.fingerprint, entry.weights):
        at = f" at revision {revision}" if revision else ""
        raise AliasTaken(
            f"The alias {entry.alias!r} belongs to {source}{at} ({weights} weights), which is not "
            f"what was asked for: {entry.source} ({entry.weights} weights).",
            "Give this one another name with ",
            Option("alias"),
            ".",
        )
    return int(model_id)


def insert_row(
    connection: duckdb.DuckDBPyConnection, table: str, values: Mapping[str, object]
) -> None:
    """Insert one row of a small table."""
    names = ", ".join(values)
    marks = ", ".join(f"${name}" for name in values)
    connection.execute(f"insert into {table} ({names}) values ({marks})", dict(values))


def next_id(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> int:
    """The next free id; the caller's transaction is the only writer there is."""
    row = connection.execute(f"select coalesce(max({column}), 0) + 1 from {table}").fetchone()
    assert row is not None
    return int(row[0])


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
