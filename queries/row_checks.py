"""The rows of a catalog file against the digests that are kept of them, for `catalog verify`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import duckdb

from catalog.queries.neuron_record import chosen_alias, chosen_model
from catalog.queries.sql import sql_text
from catalog.store.digests import grouped_digests
from catalog.store.handle import Handle
from catalog.store.opening import explaining
from catalog.store.reading import run_for_dicts
from catalog.store.sealing import (
    Seal,
    Unit,
    found,
    owner_of,
    rows_noted,
    sealed_columns,
    sealed_tables,
    seals,
    units,
)
from catalog.tables import table_named


@dataclass(frozen=True)
class RowCheck:
    """Rows of a table: how many were stored and found, and whether they agree.

    `stage`, `corpus`: whose they are, where they are one's alone. `stored` is None where no digest
    is kept that they could be compared with, `found` where the rows cannot be counted.
    """

    stage: str | None
    corpus: str | None
    rows_of: str
    stored: int | None
    found: int | None
    agree: bool


def check_rows(catalog: Handle, model: str | None) -> list[RowCheck]:
    """What stages noted of an entry's rows, and the digests of all tables that tell of it.

    Every block of the file is read; rows of other entries are named where they differ.

    Raises:
        NotFoundError, UsageError: no such model, or it is not clear which.
        DatabaseCorrupt: a block of the file is damaged.
    """
    with catalog.tables() as connection, explaining(catalog.location):
        alias = chosen_model(catalog, connection, model).model
        noted = list(_checks_of_stages(connection, catalog, alias))
        sealed = _checks_of_units(connection)
        own = set(_units_of(connection, alias))
    checks, told = [], set()
    for unit, columns, check in noted:
        seal, of_unit = sealed[unit]
        if seal is not None and seal.covers(columns):
            told.add(unit)
            check = replace(check, agree=check.agree and of_unit.agree)
        checks.append(check)
    rest = [(unit, check) for unit, (_, check) in sorted(sealed.items()) if unit not in told]
    checks += [check for unit, check in rest if unit in own]
    return checks + [check for unit, check in rest if unit not in own and not check.agree]


def check_files(catalog: Handle, model: str | None) -> list[RowCheck]:
    """The files of a model of a lake, named for their views, and its manifest.

    Raises:
        NotFoundError, UsageError: no such model, or it is not clear which.
        DatabaseError, EnvironmentFault: there is no lake, or it cannot be read.
    """
    from catalog.store.lake.verifying import LakeDigests

    lake = LakeDigests(catalog.location)
    return [
        RowCheck(
            None, None, each.name, each.n_rows, each.n_rows if each.agrees else None, each.agrees
        )
        for each in lake.checks(chosen_alias(lake.models, catalog, model))
    ]


def _checks_of_units(
    connection: duckdb.DuckDBPyConnection,
) -> dict[Unit, tuple[Seal | None, RowCheck]]:
    """Every unit that is shown or of which a digest is kept, with that and its check."""
    kept, shown = seals(connection), units(connection)
    declared = {table.name: sealed_columns(table) for table in sealed_tables()}
    wanted = {unit: declared[unit.table] for unit in shown} | {
        unit: list(seal.columns) for unit, seal in kept.items()
    }
    digests = found(connection, wanted, whole=True)
    read = {unit.table for unit in digests if set(wanted[unit]) == set(declared[unit.table])}
    for name in declared.keys() - read:
        grouped_digests(connection, name, table_named(name).unit_key, declared[name])
    checks = {}
    for unit in wanted:
        seal, now = kept.get(unit), digests.get(unit)
        comparable = seal is not None and seal.comparable
        check = RowCheck(
            stage=None,
            corpus=None,
            rows_of=unit.table,
            stored=seal.rows.n_rows if seal is not None and comparable else None,
            found=now.n_rows if now is not None else 0,
            agree=seal is not None and comparable and unit in shown and seal.rows == now,
        )
        checks[unit] = seal, check
    return checks


def _checks_of_stages(
    connection: duckdb.DuckDBPyConnection, catalog: Handle, alias: str
) -> Iterator[tuple[Unit, tuple[str, ...], RowCheck]]:
    """What each finished stage noted of the rows that it loaded, of its columns alone."""
    runs = run_for_dicts(connection, sql_text("noted"), {"model": alias}, catalog.location)
    for run in runs:
        noted = rows_noted(run["notes"]).get(run["bulk_table"])
        if noted is not None:
            unit = Unit(run["bulk_table"], run["run_id"])
            now = found(connection, {unit: noted.columns}).get(unit)
            yield (
                unit,
                noted.columns,
                RowCheck(
                    run["stage"],
                    run["corpus"],
                    unit.table,
                    noted.rows.n_rows,
                    now.n_rows if now is not None else 0,
                    now == noted.rows,
                ),
            )


def _units_of(connection: duckdb.DuckDBPyConnection, alias: str) -> Iterable[Unit]:
    """The units that tell of an entry, or of all; some may not be there."""
    owners = connection.execute(sql_text("owners"), {"model": alias}).fetchall()
    for table in sealed_tables():
        kind = owner_of(table)
        yield from (Unit(table.name, owner_id) for owner, owner_id in owners if owner == kind)
        if not kind:
            yield Unit(table.name, 0)
