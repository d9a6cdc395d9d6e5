"""Functional roles of finished entries by the present rule, from what is stored: no checkpoint."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import duckdb

from catalog.role_rule import RoleRule
from catalog.stages import stage_named
from catalog.store.digests import rows_digest
from catalog.store.executing import without_pandas
from catalog.store.handle import Handle
from catalog.store.opening import missing
from catalog.store.role_notes import CALL, role_notes
from catalog.store.sealing import Unit, unseal
from catalog.store.staging import sole_ingest
from catalog.store.upgrading import ensure_catalog
from catalog.store.version import SCHEMA_VERSION
from catalog.tables import table_named

if TYPE_CHECKING:
    import pyarrow as pa

_OUTDATED: Final = """
select r.run_id, m.alias, r.parameters, r.notes
from ingest_run r
join model m using (model_id)
where r.stage = 'roles' and r.status = 'finished' and r.stage_version < $1
order by m.alias
"""


class Upgrade(NamedTuple):
    """What an upgrade did: the schema's version, whether it changed, the entries with new roles."""

    schema: str
    changed: bool
    reroled: tuple["Rerole", ...]


class Rerole(NamedTuple):
    """An entry whose roles were recomputed: neurons by role, before and after."""

    model: str
    before: dict[str, int]
    after: dict[str, int]


def upgrade(catalog: Handle) -> Upgrade:
    """Bring the schema up to date, then the roles; one that was killed is completed by the next.

    Raises:
        DatabaseMissing: there is no catalog.
        DatabaseError: as `catalog.store.upgrading.ensure_catalog`.
    """
    if not catalog.file.exists():
        raise missing(catalog.file)
    with sole_ingest(catalog):
        return upgraded(catalog)


def upgraded(catalog: Handle) -> Upgrade:
    """The same for who holds off other ingests already."""
    changed = ensure_catalog(catalog, upgrade=True)
    return Upgrade(SCHEMA_VERSION, changed, tuple(reroled(catalog)))


def reroled(catalog: Handle) -> Iterator[Rerole]:
    """Recompute the roles of entries whose stage `roles` is of an older version.

    Each entry is changed in one transaction, with the notes that `verify` compares with.
    """
    version = stage_named("roles").version
    with catalog.tables("") as connection, without_pandas():
        outdated = connection.execute(_OUTDATED, [version]).fetchall()
    for run_id, alias, parameters, notes in outdated:
        stated = json.loads(parameters)
        rule = RoleRule(layers_ahead=stated.get("layers_ahead", RoleRule.layers_ahead))
        noted = json.loads(notes or "{}")
        before = dict(noted.get("roles", {}))
        roles, new = _computed(catalog, alias, rule)
        with catalog.writing() as connection:
            unseal(connection, Unit("neuron", _shown_run(connection, run_id)))
            _store(connection, run_id, roles)
            if columns := _noted_columns(noted):
                found = rows_digest(connection, "neuron", _shown_run(connection, run_id), columns)
                noted["rows"]["neuron"] = {**found._asdict(), "columns": columns}
            kept = {name: value for name, value in stated.items() if name != "kurtosis"}
            connection.execute(
                "update ingest_run set parameters = $2, notes = $3, stage_version = $4 "
                "where run_id = $1",
                [
                    run_id,
                    json.dumps(kept | asdict(rule), sort_keys=True),
                    json.dumps(noted | new, sort_keys=True),
                    version,
                ],
            )
        yield Rerole(alias, before, dict(new["roles"]))  # type: ignore[call-overload]


def _computed(catalog: Handle, alias: str, rule: RoleRule) -> "tuple[pa.Table, dict[str, object]]":
    """layer, neuron and functional_role of an entry's neurons, and what to note of them."""
    with catalog.reading() as connection, _table_of(connection, alias, rule):
        notes = role_notes(connection, alias, rule)
        rows = connection.execute(
            "select layer, neuron, functional_role from roles order by layer, neuron"
        ).to_arrow_table()
    return rows, notes


@contextmanager
def _table_of(connection: duckdb.DuckDBPyConnection, alias: str, rule: RoleRule) -> Iterator[None]:
    connection.execute(
        f"create temp table roles as select * from ({CALL}) where model = $model",
        {**asdict(rule), "model": alias},
    )
    yield
    connection.execute("drop table roles")


def _noted_columns(noted: Mapping[str, Any]) -> list[str]:
    """The columns of `neuron` whose digest was noted; none if that is not what an ingest notes."""
    known = {column.name for column in table_named("neuron").columns}
    try:
        columns = noted["rows"]["neuron"]["columns"]
        # Notes may have been written by anyone, and names of columns become part of the SQL.
        return columns if isinstance(columns, list) and known.issuperset(columns) else []
    except (KeyError, TypeError):
        return []


def _store(connection: duckdb.DuckDBPyConnection, run_id: int, roles: "pa.Table") -> None:
    connection.register("new_roles", roles)
    connection.execute(
        "update neuron set functional_role = r.functional_role from new_roles r "
        "where neuron.run_id = $1 and neuron.layer = r.layer and neuron.neuron = r.neuron "
        "and neuron.functional_role is distinct from r.functional_role",
        [_shown_run(connection, run_id)],
    )
    connection.unregister("new_roles")


def _shown_run(connection: duckdb.DuckDBPyConnection, run_id: int) -> int:
    """The run whose rows of `neuron` are shown of the entry of a run."""
    row = connection.execute(
        "select c.run_id from current_rows c join ingest_run r using (model_id) "
        "where c.bulk_table = 'neuron' and r.run_id = $1",
        [run_id],
    ).fetchone()
    assert row is not None
    return int(row[0])
