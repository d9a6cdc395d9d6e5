"""Catalogs that are no catalogs: made by hand, damaged, or of another program."""

import random
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.registry import Fault, injects
from tests.support import Answer, command, execute, fingerprint

READERS = [
    ["models"],
    ["sql", "from neurons"],
    ["show", "28.4737", "--model", "alpha"],
    ["query", "classes"],
    ["find", "--token", " the"],
    ["verify", "alpha"],
]
TABLES = ("model", "neuron", "ingest_run", "current_rows", "top_token", "context", "exemplar")
UNTOUCHED = "the file, untouched"


def answered(answer: Answer) -> None:
    """It answers, or refuses in a sentence; never a fault of the program."""
    assert answer.code in (0, 3, 5, 6, 8), answer
    for bad in ("Traceback", "fault of the program"):
        assert bad not in answer.err, answer.err


HANDMADE = {
    Fault(
        "a table of the catalog was dropped",
        6,
        "Error: … lacks tables of a catalog (top_token): it was not made by this program, or is "
        "damaged. Restore it from a copy.",
        UNTOUCHED,
    ): ["drop table top_token cascade"],
    Fault(
        "a table has other columns",
        6,
        "Error: … lacks columns of model (…): it was not made by this program, or is damaged. "
        "Restore it from a copy.",
        UNTOUCHED,
    ): ["create or replace table model as select 'x' as x"],
    Fault(
        "the schema's version is of a newer program",
        6,
        "Error: … has schema 9999, newer than this program's … Install a newer neuron-catalog",
        UNTOUCHED,
    ): ["update alembic_version set version_num = '9999'"],
    Fault(
        "the schema's version is of an older program",
        6,
        "Error: … has schema 0001, this program reads … Upgrade it with: catalog upgrade --db …",
        UNTOUCHED,
    ): ["update alembic_version set version_num = '0001'"],
    Fault(
        "the schema's version is no version",
        6,
        "Error: … is a DuckDB file, but not a neuron catalog. Name another file with --db.",
        UNTOUCHED,
    ): ["update alembic_version set version_num = 'x'';\x1b[31m'"],
    Fault(
        "there are two versions of the schema",
        6,
        "Error: … is a DuckDB file, but not a neuron catalog. Name another file with --db.",
        UNTOUCHED,
    ): ["insert into alembic_version values ('9999')"],
    Fault(
        "there is no version of the schema",
        6,
        "Error: … is a DuckDB file, but not a neuron catalog. Name another file with --db.",
        UNTOUCHED,
    ): ["delete from alembic_version"],
}


@injects(*HANDMADE)
def test_a_catalog_made_by_hand(fault: Fault, db: Path, cli: Callable[..., Answer]) -> None:
    execute(db, *HANDMADE[fault])
    before = fingerprint(db.parent)
    answer = cli("models", "--db", db)
    fault.seen(answer)
    for words in READERS:
        answered(cli(*words, "--db", db))
    assert fingerprint(db.parent) == before


EDITS = [
    "update current_rows set run_id = 999",
    "update current_rows set bulk_table = 'x'",
    "update model set alias = ''",
    "update model set n_layers = -1, d_mlp = 0",
    "update ingest_run set notes = '{'",
    "update ingest_run set notes = '[]'",
    "update ingest_run set notes = '{\"rows\": 3}'",
    'update ingest_run set notes = \'{"rows": {"neuron": {}}}\'',
    'update ingest_run set notes = \'{"rows": {"neuron": {"columns": ["1); drop table model; --"], '
    '"n_rows": 1, "digest": "0"}}}\'',
    'update ingest_run set notes = \'{"rows": {"model; drop table x": {"columns": ["layer"], '
    '"n_rows": 1, "digest": "0"}}}\'',
    "update neuron set cos_gate_in = 'nan', cos_in_out = 'inf'",
    "update context set token_starts = [], token_ends = []",
    "update context set token_starts = [100000], text = ''",
    "update exemplar set position = 10000",
    "update exemplar set position = -5, window_post = [], token_id = -1",
    "update activation_stat set n_positions = 0",
    "update top_token set token_id = 99999, direction = 100",
    "create or replace view models as select 1 / 0 as model",
    "create or replace view neurons as from read_text('/etc/passwd')",
]


@pytest.mark.parametrize("edit", EDITS)
def test_rows_that_make_no_sense(edit: str, db: Path, cli: Callable[..., Answer]) -> None:
    execute(db, edit)
    before = fingerprint(db.parent)
    for words in READERS:
        answer = cli(*words, "--db", db)
        answered(answer)
        assert "root:" not in answer.out
    assert fingerprint(db.parent) == before


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("columns", ["wrong names", "wrong types"])
def test_tables_that_are_not_ours(
    table: str, columns: str, db: Path, cli: Callable[..., Answer]
) -> None:
    with duckdb.connect(str(db)) as connection:
        names = [row[0] for row in connection.execute(f"describe {table}").fetchall()]
        if columns == "wrong names":
            names = ["x"]
        connection.execute(
            f"create or replace table {table} as select {', '.join(f'1 as {n}' for n in names)}"
        )
    for words in READERS:
        answered(cli(*words, "--db", db))


@injects(
    Fault(
        "a file of random bytes is named as the catalog",
        6,
        "Error: … is not a catalog, or it is damaged (…). Restore it from a copy, or move it away "
        "and ingest again.",
        UNTOUCHED,
    )
)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(min_size=1, max_size=20_000))
def test_random_bytes(
    fault: Fault, data: bytes, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    path = tmp_path / "c.duckdb"
    path.write_bytes(data)
    fault.seen(cli("models", "--db", path))
    assert path.read_bytes() == data


@injects(
    Fault(
        "bytes of a real catalog are flipped, or it is cut short",
        6,
        "Error: … damaged …",
        "the file, untouched; where the damage is in rows that are not read, the answer",
    )
)
def test_flipped_bytes(fault: Fault, db: Path) -> None:
    whole, draw = db.read_bytes(), random.Random(0)
    refused = 0
    for number in range(8):
        at = draw.randrange(4096 * 3, len(whole) - 512)
        damaged = bytearray(whole[: len(whole) // 2] if number == 0 else whole)
        damaged[at : at + 512] = draw.randbytes(512)
        db.write_bytes(damaged)
        # DuckDB may well end the process over a damaged file: never in the tests' own.
        answer = command("sql", "from models, neurons, top_tokens, exemplars", "--db", db)
        if answer.code == 6:
            fault.seen(answer)
            refused += 1
        else:
            answered(answer)
        assert db.read_bytes() == bytes(damaged)
    assert refused
