"""Catalogs into a new one: several merged, or some entries of one, with all that they refer to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from catalog.errors import (
    Command,
    DatabaseError,
    HintPart,
    MergeConflict,
    MismatchError,
    NotFoundError,
    Option,
    UsageError,
)
from catalog.store.attaching import TARGET, Source, attached, new_catalog, used_bytes
from catalog.store.conflicts import conflicts
from catalog.store.copying import carry_seals, fill, hold, run_script
from catalog.store.digests import RowsDigest
from catalog.store.handle import Handle
from catalog.store.location import DEFAULT_WAIT_S
from catalog.store.new_files import refuse_existing, require_space
from catalog.store.sealing import Unit, disagreeing, found, owner_of, seal, seals, unsettled
from catalog.store.staging import sole_ingest
from catalog.tables import bulk_tables, table_named


@dataclass(frozen=True)
class Combined:
    """What a new catalog holds.

    `aliases`: its entries. `left_behind`: a sentence for each run of theirs that was not finished.
    `n_bytes`: size of the file.
    """

    aliases: tuple[str, ...]
    left_behind: tuple[str, ...]
    n_bytes: int


def merge(sources: Sequence[Path], target: Path, wait_s: float = DEFAULT_WAIT_S) -> Combined:
    """Make `target` of all entries of the catalogs; the same entry in several becomes one.

    Only rows that are shown are copied, with their runs. Models, runs, corpora and vocabularies
    get new ids; what has the same digest is stored once.

    Raises:
        MergeConflict: they state different things of an entry; all of it is named.
        UsageError: a catalog was named twice.
        MismatchError: rows of a catalog are not those that were loaded into it.
        DatabaseError: `target` exists, or a source cannot be read.
        EnvironmentFault: no space or permission; nothing is left behind.
    """
    if len({path.resolve() for path in sources}) < len(sources):
        raise UsageError("A catalog was named twice. Name each once.")
    return _combine(sources, target, None, wait_s)


def copy_entries(source: Handle, target: Path, aliases: Sequence[str]) -> Combined:
    """Make `target` of some entries of a catalog and all that they refer to.

    Raises:
        NotFoundError: the catalog has no entry of an alias.
        MismatchError, DatabaseError, EnvironmentFault: as `merge`.
    """
    return _combine([source.file], target, aliases, source.wait_s)


def _combine(
    paths: Sequence[Path], target: Path, aliases: Sequence[str] | None, wait_s: float
) -> Combined:
    refuse_existing(target)
    with attached(paths, target, wait_s) as (connection, sources):
        hold(connection, sources)
        _refuse_contradictions(connection, sources)
        if aliases is not None:
            _require_entries(connection, aliases, paths[0])
        run_script(connection, "combining.sql", aliases=aliases)
        if found := conflicts(connection, sources):
            raise _refusal(found)
        if aliases is None:
            require_space(target.parent, used_bytes(connection))
        with sole_ingest(Handle(target, wait_s)), new_catalog(connection, target):
            _check_sources(connection, sources)
            fill(connection, sources)
            carry_seals(connection, all_tables=False)
            _check_copied(connection, sources)
            _name_vocabularies(connection)
            seal(connection, (), f"{TARGET}.")
        combined = connection.execute("select alias from united order by alias").fetchall()
        left = _left_behind(connection, sources)
    return Combined(tuple(alias for (alias,) in combined), left, target.stat().st_size)


def _refuse_contradictions(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]
) -> None:
    wrong = run_script(connection, "contradictions.sql", bulk_tables=bulk_tables()).fetchone()
    if wrong is not None:
        raise DatabaseError(
            f"{sources[wrong[0]].path} contradicts itself ({wrong[1]}). Restore it from a copy, or "
            "ingest again."
        )


def _require_entries(
    connection: duckdb.DuckDBPyConnection, aliases: Sequence[str], path: Path
) -> None:
    rows = connection.execute("select alias from held_model order by alias").fetchall()
    there = [alias for (alias,) in rows]
    if unknown := [alias for alias in aliases if alias not in there]:
        raise NotFoundError(
            f"{path} holds no model {', '.join(map(repr, unknown))}. "
            f"There is: {', '.join(there) or 'none'}."
        )


def _refusal(found: Sequence[tuple[HintPart, ...]]) -> MergeConflict:
    """All conflicts in one error, a line each."""
    (first, *advice), *others = [("\n  - ", *each) for each in found]
    parts = [*advice, *(part for each in others for part in each)]
    return MergeConflict(
        f"These catalogs do not go together; nothing was written.{first}{parts[0]}", *parts[1:]
    )


def _name_vocabularies(connection: duckdb.DuckDBPyConnection) -> None:
    """Name the vocabulary of an entry that was made first by a catalog which had not read one."""
    connection.execute(
        f"update {TARGET}.model m set vocabulary_id = v.new from (select distinct i.new as "
        "model_id, k.new from entry e join ids i on i.owner = 'model' and i.held_in = e.held_in "
        "and i.old = e.model_id join ids k on k.owner = 'vocabulary' and k.held_in = e.held_in "
        "and k.old = e.vocabulary_id) v where v.model_id = m.model_id and m.vocabulary_id is null"
    )


def _check_sources(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]) -> None:
    """Compare with their digests the small tables, whose rows get new numbers.

    Raises:
        MismatchError: rows of an entry that goes along are not what was sealed.
    """
    taken = connection.execute(
        "select held_in, owner, old from ids where taken order by all"
    ).fetchall()
    for source in sources:
        at = f"{source.name}."
        kept = {
            unit: seal
            for unit, seal in unsettled(seals(connection, at)).items()
            if (source.at, owner_of(table_named(unit.table)), unit.owner_id) in taken
        }
        for unit in sorted(disagreeing(connection, kept, at)):
            raise MismatchError(
                f"{source.path} does not hold what was stored in {unit.table}; nothing was "
                "written. Restore it from a copy."
            )


def _check_copied(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]) -> None:
    """Compare the copied rows with the digests that came along, and what stages noted of theirs.

    Raises:
        MismatchError: they differ, so they did in the source.
    """
    kept = seals(connection, f"{TARGET}.")
    damaged = disagreeing(connection, kept, f"{TARGET}.")
    noted = {}
    for alias, held_in, stage, table, run_id, n_rows, digest, columns in run_script(
        connection, "noted.sql"
    ).fetchall():
        unit = Unit(table, run_id)
        noted[unit] = alias, held_in, stage
        rows = RowsDigest(n_rows, digest)
        if unit not in damaged and unit in kept and kept[unit][:2] == (tuple(columns), rows):
            continue
        if found(connection, {unit: columns}, f"{TARGET}.").get(unit) != rows:
            raise _not_what_was_loaded(sources[held_in].path, alias, stage, table)
    for unit in sorted(damaged):
        if unit in noted:
            alias, held_in, stage = noted[unit]
            raise _not_what_was_loaded(sources[held_in].path, alias, stage, unit.table)
        raise MismatchError(
            f"{_holder(connection, sources, unit)} does not hold what was stored in {unit.table}; "
            "nothing was written. Restore it from a copy."
        )


def _not_what_was_loaded(path: Path, alias: str, stage: str, table: str) -> MismatchError:
    verify = Command("verify", (alias,), (Option("db", str(path)),))
    return MismatchError(
        f"{path} does not hold what stage {stage} of {alias} loaded into {table}; nothing was "
        "written.",
        "See ",
        verify,
        ", and redo the stage with ",
        Command("ingest"),
        " ",
        Option("force"),
        ".",
    )


def _holder(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], unit: Unit) -> Path:
    """The catalog from which the rows of a unit were taken."""
    row = connection.execute(
        "select held_in from ids where owner = $1 and new = $2 and taken order by held_in",
        [owner_of(table_named(unit.table)), unit.owner_id],
    ).fetchone()
    assert row is not None
    return sources[int(row[0])].path


def _left_behind(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]
) -> tuple[str, ...]:
    rows = connection.execute(
        "select held_in, alias, stage from run join entry using (held_in, model_id) "
        "where status in ('running', 'loading') order by held_in, alias, run_id"
    ).fetchall()
    return tuple(
        f"{alias}: stage {stage} in {sources[held_in].path} is not finished and was left behind"
        for held_in, alias, stage in rows
    )
