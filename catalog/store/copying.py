"""Copying rows from attached catalogs into a new one, under numbers that a plan gives them.

A plan is three tables in the connection's memory, made by SQL over views of what the catalogs hold
(`held_model`, ...: the rows of all of them with `held_in`, the position of a catalog):

    ids(owner, held_in, old, new, taken)   numbers of owners; rows of those taken are copied
    part(held_in, model_id, corpus_id)     corpora that go along with an entry
    shown(held_in, bulk_table, run_id)     runs whose rows of a table go along

Lookups find a neuron by zone maps over (run_id, layer, neuron), so a run is copied whole before the
next, and a table's runs by ascending new id. Rows go in by layers, so memory is bounded.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import duckdb

from catalog.declaration import KEYS, ROWS_PER_TRANSACTION, Table
from catalog.errors import EnvironmentFault
from catalog.store.attaching import TARGET, Source
from catalog.store.digests import RowsDigest, digest_of
from catalog.store.sealing import DIGESTS, owner_of, sealed_tables
from catalog.tables import TABLES, bulk_tables, table_named


@dataclass(frozen=True)
class Selection:
    """Rows of a table that go along from one catalog: those of `condition`, in SQL.

    `renumbered`: for columns that hold numbers of owners, the old ones and the new ones.
    """

    source: Source
    table: Table
    condition: str
    parameters: Mapping[str, Any]
    renumbered: Mapping[str, tuple[Sequence[int], Sequence[int]]]

    @property
    def relation(self) -> str:
        """The table in SQL."""
        return f"{self.source.name}.{self.table.name}"

    @property
    def query(self) -> str:
        """The rows under their new numbers, in the order in which they are stored."""
        new = [f"map($old_{name}, $new_{name})[{name}] as {name}" for name in self.renumbered]
        columns = f"* replace ({', '.join(new)})" if new else "*"
        return f"select {columns} from {self.relation} where {self.condition}"

    @property
    def bound(self) -> dict[str, Any]:
        """The values of the query's parameters."""
        numbers = {
            f"{age}_{name}": list(numbers)
            for name, both in self.renumbered.items()
            for age, numbers in zip(("old", "new"), both, strict=True)
        }
        return {**self.parameters, **numbers}


def hold(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]) -> None:
    """Make the views of what the catalogs hold, on which plans are made."""
    for table in TABLES:
        held = " union all by name ".join(
            f"select {source.at} as held_in, * from {source.name}.{table.name}"
            for source in sources
        )
        connection.execute(f"create view held_{table.name} as {held}")


def run_script(
    connection: duckdb.DuckDBPyConnection, name: str, **variables: Sequence[str] | int | None
) -> duckdb.DuckDBPyConnection:
    """Run an SQL script of this folder, which finds `variables` by `getvariable`."""
    for variable, value in variables.items():
        connection.execute(f"set variable {variable} = $1", [value])
    return connection.execute((files("catalog.store") / name).read_text(encoding="utf-8"))


def fill(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]) -> None:
    """Copy what the plan says into the new catalog, and compare each table with what was read.

    Raises:
        EnvironmentFault: the copy is not what was read.
    """
    selected = {
        table.name: list(_selections(connection, table, sources))
        for table in TABLES
        if table.owner not in ("program", "digests")
    }
    connection.begin()
    try:
        n_rows = 0
        for selection in [each for of_table in selected.values() for each in of_table]:
            for n_copied in _copy(connection, selection):
                n_rows += n_copied
                if n_rows >= ROWS_PER_TRANSACTION:
                    connection.commit()
                    connection.begin()
                    n_rows = 0
        connection.commit()
    except BaseException:
        # A commit that failed, on a full disk say, has ended the transaction already.
        with suppress(duckdb.Error):
            connection.rollback()
        raise
    # Rows are compared as the checkpoint packed them, not as they came.
    connection.execute(f"checkpoint {TARGET}")
    for name, selections in selected.items():
        _compare(connection, name, selections)


def carry_seals(connection: duckdb.DuckDBPyConnection, *, all_tables: bool) -> None:
    """Copy the digests of units that were copied, under their new numbers.

    Without `all_tables` those alone whose rows hold no number of another owner, which are new.
    """
    for table in sealed_tables():
        if table.owner != "program" and (all_tables or table.settled):
            shown = (
                "semi join shown s on s.held_in = d.held_in and s.bulk_table = d.of_table "
                "and s.run_id = d.owner_id"
                if table.name in bulk_tables()
                else ""
            )
            connection.execute(
                f"insert into {TARGET}.{DIGESTS} by name select d.of_table, i.new as owner_id, "
                f"d.columns, d.n_rows, d.digest, d.hashing from held_{DIGESTS} d {shown} "
                "join ids i on i.held_in = d.held_in and i.old = d.owner_id and i.taken "
                "and i.owner = $2 where d.of_table = $1 order by owner_id",
                [table.name, owner_of(table)],
            )


def spans(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    relation: str,
    condition: str,
    parameters: Mapping[str, Any],
) -> list[tuple[str, dict[str, int]]]:
    """Conditions that part rows by layers (contexts by ids), each with its bound values.

    A part takes a second or two, or is one layer if that takes longer.
    """
    if table.parted_by is None:
        return [("true", {})]
    column = table.parted_by
    counts = connection.execute(
        f"select {column}, count(*) from {relation} where {condition} group by all order by all",
        dict(parameters),
    ).fetchall()
    parts: list[list[int]] = []
    n_rows = table.at_once
    for at, n in counts:
        if n_rows + n > table.at_once:
            parts.append([at, at])
            n_rows = 0
        parts[-1][1] = at
        n_rows += n
    between = f"{column} between $first and $last"
    return [(between, {"first": first, "last": last}) for first, last in parts]


def _selections(
    connection: duckdb.DuckDBPyConnection, table: Table, sources: Sequence[Source]
) -> Iterator[Selection]:
    """What the plan says of a table: run after run where its rows belong to runs."""
    if table.name in bulk_tables():
        runs = connection.execute(
            "select i.held_in, i.old, i.new from ids i join shown s "
            "on s.held_in = i.held_in and s.run_id = i.old and s.bulk_table = $1 "
            "where i.owner = 'run' and i.taken order by i.new",
            [table.name],
        ).fetchall()
        for held_in, old, new in runs:
            renumbered = {} if old == new else {"run_id": ([old], [new])}
            yield Selection(
                sources[held_in], table, "run_id = $run_id", {"run_id": old}, renumbered
            )
        return
    for source in sources:
        if table.owner == "entry's corpus":
            taken = f"select model_id, corpus_id from part where held_in = {source.at}"
            condition = f"(model_id, corpus_id) in ({taken})"
        else:
            taken = f"select old from ids where owner = '{table.owner}' and taken"
            condition = f"{KEYS[table.owner]} in ({taken} and held_in = {source.at})"
        yield Selection(source, table, condition, {}, _renumbered(connection, table, source))


def _renumbered(
    connection: duckdb.DuckDBPyConnection, table: Table, source: Source
) -> dict[str, tuple[Sequence[int], Sequence[int]]]:
    """The columns of a table that get new numbers."""
    found: dict[str, tuple[Sequence[int], Sequence[int]]] = {}
    for owner, column in KEYS.items():
        pairs = connection.execute(
            "select old, new from ids where owner = $1 and held_in = $2 order by old",
            [owner, source.at],
        ).fetchall()
        old, new = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        if column in table.ids and old != new:
            found[column] = (old, new)
    return found


def _copy(connection: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[int]:
    """Copy rows part by part; yields the number of rows of each."""
    table = selection.table
    for part, bounds in spans(
        connection, table, selection.relation, selection.condition, selection.parameters
    ):
        row = connection.execute(
            f"insert into {TARGET}.{table.name} by name {selection.query} and {part}",
            {**selection.bound, **bounds},
        ).fetchone()
        assert row is not None
        yield int(row[0])


def _compare(
    connection: duckdb.DuckDBPyConnection, name: str, selections: Sequence[Selection]
) -> None:
    columns = [column.name for column in table_named(name).columns]
    read = [
        digest_of(connection, f"({selection.query})", columns, selection.bound)
        for selection in selections
    ]
    written = digest_of(connection, f"{TARGET}.{name}", columns)
    if written != RowsDigest.of_all(read):
        paths = ", ".join(sorted({str(selection.source.path) for selection in selections}))
        n_read = sum(each.n_rows for each in read)
        raise EnvironmentFault(
            f"The copy of {name} from {paths} is not what was read: {written.n_rows} rows of "
            f"{n_read}, or other values. Nothing was changed; run the same command again, and "
            "check the disk and the memory if it fails again."
        )
