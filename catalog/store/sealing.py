"""Digests of all that readers see, kept in the catalog beside the rows.

A unit is the rows of one table that belong to one owner: a run's exemplars, a vocabulary's tokens,
an entry's runs. Every transaction that writes ends by sealing: units that are new get a digest,
those that may change by any statement a new one, and digests of what has gone are removed. What did
not agree with its digest before the transaction keeps that digest, so damage is never sealed over.

Which tables there are, and how they part into units, is derived from the declaration.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import duckdb

from catalog import tables
from catalog.declaration import KEYS, Table
from catalog.store.digests import RowsDigest, grouped_digests

DIGESTS: Final = "row_digest"
"""The table with the digests."""

_NONE: Final = RowsDigest(0, "0")
_HASHING: Final = "hash('neuron', 28, 0.5::float, [1::tinyint], null)::varchar"
"""What DuckDB makes of a fixed value: no version promises the hashes of another."""


class Unit(NamedTuple):
    """Rows of a table that belong to one owner; 0 where all of them go together."""

    table: str
    owner_id: int


class Seal(NamedTuple):
    """The digest that is kept of a unit; `comparable` with those that this DuckDB computes."""

    columns: tuple[str, ...]
    rows: RowsDigest
    comparable: bool

    def covers(self, columns: Collection[str]) -> bool:
        """Whether it can be compared, and is of these columns."""
        return self.comparable and set(self.columns) == set(columns)


def sealed_tables() -> Iterator[Table]:
    """All declared tables but that of the digests."""
    return (table for table in tables.TABLES if table.owner != "digests")


def seals(connection: duckdb.DuckDBPyConnection, at: str = "") -> dict[Unit, Seal]:
    """The digests that a catalog keeps; `at` is its name in SQL with a dot, if it is attached."""
    kept = connection.execute(
        f"select of_table, owner_id, columns, n_rows, digest, hashing = {_HASHING} "
        f"from {at}{DIGESTS} order by all"
    ).fetchall()
    return {
        Unit(table, owner_id): Seal(tuple(columns), RowsDigest(n_rows, digest), comparable)
        for table, owner_id, columns, n_rows, digest, comparable in kept
    }


def units(connection: duckdb.DuckDBPyConnection, at: str = "") -> set[Unit]:
    """The units that readers see, each of which is to have a digest."""
    selects = [
        f"select distinct '{table.name}', {_owners(table)}".format(at=at)
        for table in sealed_tables()
    ]
    rows = connection.execute(" union all ".join(selects)).fetchall()
    return {Unit(table, owner_id) for table, owner_id in rows}


def found(
    connection: duckdb.DuckDBPyConnection,
    wanted: Mapping[Unit, Sequence[str]],
    at: str = "",
    *,
    whole: bool = False,
) -> dict[Unit, RowsDigest]:
    """Digests of units as they are now, each over its columns; none of columns that are not there.

    `whole`: every block of these tables is read, whatever the units.
    """
    digests: dict[Unit, RowsDigest] = {}
    in_order = sorted(wanted.items(), key=lambda each: (each[0].table, each[1], each[0].owner_id))
    for (name, columns), group in groupby(in_order, key=lambda each: (each[0].table, each[1])):
        asked = [unit for unit, _ in group]
        # A file may be a stranger's, and names of columns become part of the SQL.
        if not _known(name, columns):
            continue
        key = tables.table_named(name).unit_key
        only = None if whole else [unit.owner_id for unit in asked]
        by_owner = grouped_digests(connection, f"{at}{name}", key, columns, only)
        digests |= {unit: by_owner.get(unit.owner_id, _NONE) for unit in asked}
    return digests


def disagreeing(
    connection: duckdb.DuckDBPyConnection, kept: Mapping[Unit, Seal], at: str = ""
) -> set[Unit]:
    """Those units whose rows are not what was sealed."""
    comparable = {unit: seal.columns for unit, seal in kept.items() if seal.comparable}
    digests = found(connection, comparable, at)
    return {unit for unit in comparable if digests.get(unit) != kept[unit].rows}


def unsettled(kept: Mapping[Unit, Seal]) -> dict[Unit, Seal]:
    """Seals of the small tables, whose rows any transaction may change."""
    return {unit: seal for unit, seal in kept.items() if not _settled(unit)}


def seal(
    connection: duckdb.DuckDBPyConnection,
    damaged: Collection[Unit],
    at: str = "",
    *,
    anew: bool = False,
) -> bool:
    """Bring the digests up to date with the rows, but for those of damaged units.

    Settled units that have a digest are not read; with `anew` (for upgrades) they are where it
    is by another DuckDB or lacks a column. Returns whether anything was written.
    """
    kept, seen = seals(connection, at), units(connection, at)
    due = {}
    for unit in seen.difference(damaged):
        columns = sealed_columns(tables.table_named(unit.table))
        before = kept.get(unit)
        if before is None or not _settled(unit) or (anew and not before.covers(columns)):
            due[unit] = columns
    new = _noted(connection, due, at)
    rest = {unit: columns for unit, columns in due.items() if unit not in new}
    new |= {
        unit: Seal(tuple(rest[unit]), rows, True)
        for unit, rows in found(connection, rest, at).items()
    }
    gone = {unit for unit in kept if unit not in seen and unit not in damaged}
    changed = {unit for unit, made in new.items() if kept.get(unit) != made}
    _delete(connection, gone | (changed & kept.keys()), at)
    for unit in sorted(changed):
        made = new[unit]
        connection.execute(
            f"insert into {at}{DIGESTS} by name select $1 as of_table, $2 as owner_id, "
            f"$3 as columns, $4 as n_rows, $5 as digest, {_HASHING} as hashing",
            [*unit, list(made.columns), *made.rows],
        )
    return bool(gone or changed)


def unseal(connection: duckdb.DuckDBPyConnection, unit: Unit) -> None:
    """Forget the digest of a settled unit that is about to be changed, if its rows agree with it.

    The transaction's end takes a new one.
    """
    kept = {each: seal for each, seal in seals(connection).items() if each == unit}
    _delete(connection, kept.keys() - disagreeing(connection, kept), "")


def forget_entry(connection: duckdb.DuckDBPyConnection, model_id: int) -> None:
    """Remove the digests of an entry that is dropped, damaged or not."""
    _delete(
        connection,
        [Unit(each.name, model_id) for each in sealed_tables() if owner_of(each) == "model"],
        "",
    )


def sealed_columns(table: Table) -> list[str]:
    """The columns of a unit's digest: all but the one that is the same in all its rows."""
    return [name for name in table.names if name != table.unit_key]


def owner_of(table: Table) -> str:
    """Whose numbers tell the units of a table apart: 'model', 'run', ...; '' if there is one."""
    return {key: owner for owner, key in KEYS.items()}.get(table.unit_key or "", "")


def _owners(table: Table) -> str:
    """SQL for the numbers of the owners whose rows of a table readers see."""
    if table.owner == "run" and table.settled:
        return f"run_id from {{at}}current_rows where bulk_table = '{table.name}'"
    if table.settled:
        key, by = table.unit_key, "model" if table.owner == "vocabulary" else "current_rows"
        return f"{key} from {{at}}{by} where {key} is not null"
    return f"{table.unit_key or 0} from {{at}}{table.name}"


def _noted(connection: duckdb.DuckDBPyConnection, due: Iterable[Unit], at: str) -> dict[Unit, Seal]:
    """What stages noted of all columns of their rows a moment ago, which saves reading them."""
    runs = {unit.owner_id for unit in due if _settled(unit)}
    if not runs:
        return {}
    noted = dict(
        connection.execute(
            f"select run_id, notes from {at}ingest_run where list_contains($1, run_id)",
            [sorted(runs)],
        ).fetchall()
    )
    found_notes: dict[Unit, Seal] = {}
    for unit in due:
        table = tables.table_named(unit.table)
        if table.owner == "run" and table.settled:
            note = rows_noted(noted.get(unit.owner_id)).get(unit.table)
            if note is not None and note.covers(sealed_columns(table)):
                found_notes[unit] = note
    return found_notes


def rows_noted(notes: str | None) -> dict[str, Seal]:
    """Of the notes of a run: digests of the rows that it loaded, by table; none if they are odd."""
    try:
        stated: dict[str, Any] = json.loads(notes or "{}").get("rows", {})
        return {
            name: Seal(
                tuple(map(str, each["columns"])),
                RowsDigest(int(each["n_rows"]), str(each["digest"])),
                True,
            )
            for name, each in stated.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        return {}


def _known(name: str, columns: Sequence[str]) -> bool:
    return any(
        table.name == name and columns and set(table.names).issuperset(columns)
        for table in sealed_tables()
    )


def _settled(unit: Unit) -> bool:
    return any(table.name == unit.table and table.settled for table in sealed_tables())


def _delete(connection: duckdb.DuckDBPyConnection, gone: Iterable[Unit], at: str) -> None:
    for unit in sorted(gone):
        connection.execute(
            f"delete from {at}{DIGESTS} where of_table = $1 and owner_id = $2", list(unit)
        )
