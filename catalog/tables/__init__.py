"""The declaration of the tables and their columns, stated once.

What loads, copies, merges, drops, exports and documents tables derives from it. Plain dataclasses,
so that readers need not import SQLAlchemy; `catalog.schema` makes its metadata from them.

Tables whose owner is a run carry the `run_id` that wrote a row and have no indexes or keys: DuckDB
finds rows by the zone maps of (run_id, layer, neuron), in which order they are loaded. Their rows
are shown when `current_rows` names the run. `catalog.views` declares the public views over them.
"""

from typing import Final

from catalog.declaration import Table
from catalog.tables.ablations import ABLATION_TABLES
from catalog.tables.activations import ACTIVATION_TABLES
from catalog.tables.descriptions import DESCRIPTION_TABLES
from catalog.tables.entries import ENTRY_TABLES
from catalog.tables.runs import RUN_TABLES
from catalog.tables.weights import WEIGHT_TABLES

TABLES: Final[tuple[Table, ...]] = (
    *ENTRY_TABLES,
    *RUN_TABLES,
    *WEIGHT_TABLES,
    *ACTIVATION_TABLES,
    *ABLATION_TABLES,
    *DESCRIPTION_TABLES,
)
"""All tables, those that others refer to first."""


def table_named(name: str) -> Table:
    """The table of that name; KeyError if there is none."""
    return {table.name: table for table in TABLES}[name]


def bulk_tables(stage: str | None = None) -> tuple[str, ...]:
    """Names of the tables with a run's results; with `stage`, of those that it fills."""
    return tuple(
        table.name
        for table in TABLES
        if table.owner == "run" and table.stages and (stage is None or stage in table.stages)
    )
