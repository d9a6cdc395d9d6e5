"""Damages copies of a catalog; what a reader then sees otherwise must not go unnoticed by `verify`.

    python -m tests.attacks.damage demo.duckdb --flips 200 --edits 50

A flip is one bit of the file's bytes; an edit is a statement of somebody who opens the file with
DuckDB itself: a value changed, a row deleted, or a row written twice, in every table in turn.
"""

import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import click

from tests.attacks.processes import apart, command, what_is_seen

REFUSED: Final = (3, 6, 8)
"""The codes with which `verify` says that the entry is not there, the file or its rows damaged."""

NOTICED: Final = "noticed"
HARMLESS: Final = "changes nothing that is seen"

_CHANGED: Final = {
    "BOOLEAN": "not {0}",
    "VARCHAR": "{0} || 'x'",
    "VARCHAR[]": "list_append({0}, 'x')",
    "TIMESTAMP": "{0} + interval 1 second",
    "FLOAT": "nextafter({0}, 'inf'::float)",
    "DOUBLE": "nextafter({0}, 'inf'::double)",
    "TINYINT[]": "list_append({0}, 1)",
    "INTEGER[]": "list_append({0}, 1)",
}
"""Another value of a type; of whole numbers the next one."""


class Attempt(NamedTuple):
    """One way to damage a file: what is done, and how."""

    what: str
    damage: Callable[[Path], None]


def flips(whole: bytes, n: int, chance: random.Random) -> Iterator[Attempt]:
    """Single bits at random places of the file."""
    for _ in range(n):
        at, bit = chance.randrange(len(whole)), chance.randrange(8)

        def flip(path: Path, at: int = at, bit: int = bit) -> None:
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes([whole[at] ^ 1 << bit]))

        yield Attempt(f"bit {bit} of byte {at:,}", flip)


def edits(path: Path, n: int, chance: random.Random) -> Iterator[Attempt]:
    """Statements on random rows: tables in turn, values for the most part."""
    tables = _columns(path)
    for at in range(n):
        table = sorted(tables)[at % len(tables)]
        column, kind = chance.choice(tables[table])
        row = f"rowid = (select rowid from {table} order by hash(rowid, {at}) limit 1)"
        other = _CHANGED.get(kind, "{0} + 1").format(column)
        how = chance.choice(["update"] * 6 + ["delete", "insert"])
        if how == "update":
            sql = f"update {table} set {column} = coalesce({other}, '1'::{kind}) where {row}"
        elif how == "delete":
            sql = f"delete from {table} where {row}"
        else:
            sql = f"insert into {table} from {table} where {row}"
        yield Attempt(sql, partial(_execute, sql=sql))


def verdict_on(path: Path, models: list[str], before: str) -> str:
    """In a word or two, what `verify` says of a damaged file, and where nothing, what is seen."""
    for model in models:
        code = apart(command("verify", model, "--rows", "--db", path)).code
        if code in REFUSED:
            return NOTICED
        if code:
            return f"ended badly ({code})"
    return HARMLESS if what_is_seen(path) == before else "UNNOTICED"


@click.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--flips", "n_flips", default=200, show_default=True)
@click.option("--edits", "n_edits", default=50, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(path: Path, n_flips: int, n_edits: int, seed: int) -> None:
    """Damage copies of the catalog PATH; exit code 1 if anything goes unnoticed or ends badly."""
    chance = random.Random(seed)
    whole = path.read_bytes()
    before = what_is_seen(path)
    models = apart(_aliases(path)).out.split("\0")[:-1]
    attempts = [*flips(whole, n_flips, chance), *edits(path, n_edits, chance)]
    verdicts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for kind, some in (("flip", attempts[:n_flips]), ("edit", attempts[n_flips:])):
            for attempt in some:
                copy = Path(shutil.copy(path, Path(folder) / "damaged.duckdb"))
                attempt.damage(copy)
                verdict = verdict_on(copy, models, before)
                verdicts[f"{kind}: {verdict}"] += 1
                if verdict not in (NOTICED, HARMLESS):
                    click.echo(f"{verdict}: {attempt.what}")
                copy.unlink()
                copy.with_name(copy.name + ".wal").unlink(missing_ok=True)
    for verdict, n in sorted(verdicts.items()):
        click.echo(f"{n:5} {verdict}")
    sys.exit(any(not each.endswith((NOTICED, HARMLESS)) for each in verdicts))


def _aliases(path: Path) -> Callable[[], int]:
    def show() -> int:
        import catalog

        for model in catalog.open(path).sql("select model from models order by 1").fetchall():
            print(model[0], end="\0")
        return 0

    return show


def _columns(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Names and types of the columns of every table of the file."""

    def show() -> int:
        import duckdb

        with duckdb.connect(str(path), read_only=True) as connection:
            for row in connection.execute(
                "select table_name, column_name, data_type from duckdb_columns() "
                "where not internal and table_name in (select table_name from duckdb_tables()) "
                "order by all"
            ).fetchall():
                print(*row, sep="\t")
        return 0

    columns: dict[str, list[tuple[str, str]]] = {}
    for line in apart(show).out.splitlines():
        table, name, kind = line.split("\t")
        columns.setdefault(table, []).append((name, kind))
    return columns


def _execute(path: Path, sql: str) -> None:
    def change() -> int:
        import duckdb

        with duckdb.connect(str(path)) as connection:
            connection.execute(sql)
        return 0

    ended = apart(change)
    if ended.code:
        raise click.ClickException(f"{sql}: {ended.err}")


if __name__ == "__main__":
    main()
