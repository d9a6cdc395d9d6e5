"""Writing descriptions: those of one import that are new to an entry become one run.

A run's `subject` says what is in it, so that the same import into two catalogs is one when these
are merged; the view shows the latest of what has the same key.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import duckdb

from catalog.stages import DESCRIPTIONS
from catalog.store.copying import run_script
from catalog.store.digests import digest_of
from catalog.store.sealing import sealed_columns
from catalog.store.writing import RunStart, finish_run, insert_rows, record_loaded, start_run
from catalog.tables import table_named

if TYPE_CHECKING:
    import pyarrow as pa

BY_HAND: Final = "hand"
"""The source of what a person wrote in this catalog."""

_TABLE: Final = "description"
_KEY: Final = "layer, neuron, sign_case, source, source_key"


def add_descriptions(
    connection: duckdb.DuckDBPyConnection,
    model_id: int,
    rows: "pa.Table",
    way: str,
    versions: Mapping[str, str],
    notes: Mapping[str, object],
) -> int:
    """Load what the entry does not have yet as one run; returns how many descriptions that is.

    `rows`: the table's columns but run_id, and `place`, of which the last of one key counts. `way`:
    the format they came in, or by hand.
    """
    connection.register("staged_description", rows)
    run_script(connection, "new_descriptions.sql", model_id=model_id)
    connection.unregister("staged_description")
    columns = sealed_columns(table_named(_TABLE))
    found = digest_of(connection, "new_description", columns)
    if found.n_rows:
        subject = f"{way}-{found.n_rows}-{found.digest[-16:]}"
        start = RunStart(
            stage=DESCRIPTIONS.name,
            device="cpu",
            dtype="none",
            parameters={"format": way},
            versions=versions,
            n_units=1,
            stage_version=DESCRIPTIONS.version,
            subject=subject,
        )
        run_id = start_run(connection, model_id, start, None)
        new = connection.execute(f"from new_description order by {_KEY}").to_arrow_table()
        insert_rows(connection, _TABLE, run_id, new)
        record_loaded(connection, run_id, 1)
        noted = {_TABLE: {"columns": columns, **found._asdict()}}
        finish_run(connection, run_id, (_TABLE,), {**notes, "rows": noted})
    connection.execute("drop table new_description")
    return found.n_rows


def written_by_hand(connection: duckdb.DuckDBPyConnection, model_id: int) -> int:
    """How many descriptions of an entry a person wrote here."""
    row = connection.execute(
        f"select count(*) from {_TABLE} d join current_rows c on c.run_id = d.run_id "
        f"and c.bulk_table = '{_TABLE}' where c.model_id = $1 and d.source = $2",
        [model_id, BY_HAND],
    ).fetchone()
    assert row is not None
    return int(row[0])
