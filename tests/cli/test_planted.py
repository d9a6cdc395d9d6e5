"""Every command on files in which a stranger planted something: refused, or as if it were not."""

import gzip
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import duckdb
import pytest

from catalog.cli.main import cli as command_line
from tests.store.planted import PLANTS, Plant
from tests.support import DUCKDB_2, REPOSITORY, Answer, execute

SECRET = "what the user wrote down"
OLD = REPOSITORY / "tests" / "store" / "catalog_0003.duckdb.gz"
NEURON = ["28.4737", "--model", "alpha"]

COMMANDS: dict[str, list[list[str]]] = {
    "models": [["models"]],
    "show": [["show", *NEURON]],
    "sql": [
        ["sql", "select * from neurons order by all"],
        ["sql", "from duckdb_views() select view_name, sql, comment where not internal"],
    ],
    "query": [["query", "classes"]],
    "find": [["find", "--model", "alpha"]],
    "compare": [["compare", "alpha:28.4737", "alpha:28.9766"]],
    "firing": [["firing", " the", "--model", "alpha"]],
    "ablate": [["ablate", "alpha", "--neurons", "28.4737", "--corpus", "web"]],
    "plot": [["plot", "classes", "--output", "{out}/classes.svg"]],
    "run": [["run", "text", "--model", "alpha"]],
    "verify": [["verify", "alpha"], ["verify", "alpha", "--exemplars", "1"]],
    "describe": [["describe", *NEURON, "writes again"]],
    "import": [
        ["import", "descriptions", "{said}", "--format", "table", "--model", "alpha"],
    ],
    "export": [
        ["export", "{out}/lake"],
        ["export", "{out}/texts", "--format", "csv"],
        ["export", "{out}/copy.duckdb", "--format", "duckdb"],
        ["export", "site", "{out}/site", "--model", "alpha"],
    ],
    "merge": [["merge", "{db}", "--into", "{out}/merged.duckdb"]],
    "ingest": [["ingest", "demo", "--weights", "raw", "--stages", "weights", "--yes"]],
    "upgrade": [["upgrade"], ["upgrade", "an old catalog"]],
    "drop": [["drop", "alpha", "--yes"]],
    "compact": [["compact"]],
}
"""What is asked of every file; only `merge` names it without --db."""

QUICK = ("models", "ingest", "upgrade", "merge")
"""A reader, and all that opens catalogs in other ways: the others are slow tests."""

CASES = [
    pytest.param(
        arguments,
        id=" ".join(arguments[:-1] or arguments),
        marks=[] if name in QUICK else pytest.mark.slow,
    )
    for name, many in COMMANDS.items()
    for arguments in many
]
FREE_WORDS = re.compile(r"[0-9][0-9.,:]*")
"""Sizes and times, which two runs of a command do not share."""


class Asked(NamedTuple):
    """What a command answered, with no word of where or when."""

    code: int
    out: str
    err: str


class Home:
    """A folder of the user's with a secret, and one for the catalog and what commands write."""

    def __init__(self, folder: Path) -> None:
        self.user = folder / "user"
        self.work = folder / "work"
        self.out = self.work / "out"
        self.db = self.work / "c.duckdb"
        self.user.mkdir(parents=True)
        self.out.mkdir(parents=True)
        self.secret = self.user / "secret.txt"
        self.secret.write_text(SECRET)
        self.said = self.work / "said.csv"
        self.said.write_text("neuron_id,description\n28.4737,writes again\n")

    def put(self, catalog: Path, plant: Plant) -> None:
        """The catalog there, with what is planted."""
        if catalog.suffix == ".gz":
            self.db.write_bytes(gzip.decompress(catalog.read_bytes()))
        else:
            shutil.copy(catalog, self.db)
        home = str(self.user)
        execute(self.db, *(each.replace("{home}", home) for each in plant.statements))
        # Who reads the file moves the time of its reading, which is before that of its writing.
        os.utime(self.secret, (1, 2))

    def ask(self, cli: Callable[..., Answer], arguments: list[str]) -> Asked:
        """What the command answers of the catalog there."""
        words = [each.format(db=self.db, out=self.out, said=self.said) for each in arguments]
        db = [] if "{db}" in arguments else ["--db", str(self.db)]
        answer = cli(*(word for word in words if word != "an old catalog"), *db, "--wait", "0")
        names = [text.replace(str(self.work), "") for text in (answer.out, answer.err)]
        return Asked(answer.code, *(FREE_WORDS.sub("0", name) for name in names))

    def assert_nothing_ran(self, asked: Asked) -> None:
        """Nothing of the user's was written, made or read, nor is it told."""
        assert list(self.user.iterdir()) == [self.secret]
        assert self.secret.stat().st_atime == 1
        assert self.secret.read_text() == SECRET
        assert SECRET not in asked.out + asked.err
        for path in self.work.rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture(scope="module")
def clean() -> dict[str, Asked]:
    """What commands answered where nothing was planted."""
    return {}


def test_every_command_is_asked() -> None:
    there = command_line.list_commands(click.Context(command_line))
    # It goes on for ever: tests/pages/test_walls.py asks its pages of the same files.
    assert sorted([*COMMANDS, "serve"]) == there


@pytest.mark.parametrize("planted", PLANTS)
@pytest.mark.parametrize("arguments", CASES)
def test_nothing_planted_runs(
    cli: Callable[..., Answer],
    known: Path,
    home: Home,
    tmp_path: Path,
    clean: dict[str, Asked],
    arguments: list[str],
    planted: str,
) -> None:
    plant = PLANTS[planted]
    catalog = OLD if "an old catalog" in arguments else known
    key = " ".join(arguments)
    if key not in clean:
        untouched = Home(tmp_path / "clean")
        untouched.put(catalog, Plant(()))
        clean[key] = untouched.ask(cli, arguments)
    home.put(catalog, plant)
    before = home.db.read_bytes()
    asked = home.ask(cli, arguments)
    home.assert_nothing_ran(asked)
    if plant.rows:
        assert asked.code in (0, 4, 6, 8), asked
        assert "fault of the program" not in asked.err
        return
    if asked != clean[key]:
        assert_refused(asked)
        assert home.db.read_bytes() == before
        assert [path for path in home.out.iterdir() if path.suffix != ".lock"] == []
    else:
        assert not plant.refused, asked


@pytest.mark.skipif(not DUCKDB_2, reason="DuckDB 1 has no triggers")
def test_a_trigger_does_not_run(cli: Callable[..., Answer], known: Path, home: Home) -> None:
    with duckdb.connect() as connection:
        for statement in (
            f"attach '{known}' as known (read_only)",
            f"attach '{home.db}' as planted (storage_version 'v2.0.0')",
            "copy from database known to planted",
            "use planted",
            "create trigger planted after insert on ingest_run for each statement "
            "insert into vocabulary values (99, 'planted', 0)",
        ):
            connection.execute(statement)
    before = home.db.read_bytes()
    assert home.ask(cli, ["models"]).code == 0
    for arguments in (["upgrade"], ["drop", "alpha", "--yes"]):
        asked = home.ask(cli, arguments)
        assert_refused(asked)
        assert "it brings the trigger planted" in asked.err
        assert home.db.read_bytes() == before


def assert_refused(asked: Asked) -> None:
    """In one sentence, with the documented code."""
    assert asked.code == 6, asked
    assert asked.out == ""
    assert asked.err.lstrip().startswith("Error: "), asked
    assert asked.err.strip().count("\n") == 0, asked
    assert "fault of the program" not in asked.err
