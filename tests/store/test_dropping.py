"""An entry that is dropped is gone at once, with all that only it referred to."""

import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.errors import DatabaseLocked, NotFoundError
from catalog.store.compacting import compact
from catalog.store.dropping import drop, find_drop
from catalog.store.handle import Handle
from catalog.store.staging import sole_ingest, staging_root
from catalog.store.writing import writing
from catalog.tables import bulk_tables
from tests.store import parts
from tests.store.killing import Moment, killed
from tests.store.parts import Part
from tests.support import COMMAND, Answer, command, environment, execute, public_rows, query

P = {"p": "first text"}
Q = {"q": "another text"}
REFERRED = ("vocabulary", "token", "corpus", "context", "model_corpus")


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """x and y share a vocabulary and a corpus; x has another corpus of its own."""
    return parts.build(tmp_path / "c.duckdb", {"x": Part(2, P | Q), "y": Part(2, P)})


def counts(path: Path) -> dict[str, int]:
    """Rows of every table, hidden ones too."""
    tables = ("model", "ingest_run", "current_rows", *REFERRED, *bulk_tables())
    return {table: query(path, f"select count(*) from {table}")[0][0] for table in tables}


def alone(path: Path, **entries: Part) -> dict[str, int]:
    return counts(parts.build(path.with_name("alone.duckdb"), entries))


def test_nothing_is_left_of_an_entry(filled: Path) -> None:
    others = {view: [r for r in rows if "x" not in r] for view, rows in public_rows(filled).items()}
    drop(find_drop(Handle(filled), "x"))
    assert public_rows(filled) == others
    assert counts(filled) == alone(filled, y=Part(2, P))


def test_what_others_refer_to_stays_until_the_last_has_gone(filled: Path) -> None:
    for model in ("y", "x"):
        drop(find_drop(Handle(filled), model))
    assert set(counts(filled).values()) == {0}


def test_one_corpus_of_an_entry_can_be_dropped(filled: Path) -> None:
    drop(find_drop(Handle(filled), "x", "q"))
    assert counts(filled) == alone(filled, x=Part(2, P), y=Part(2, P))
    drop(find_drop(Handle(filled), "x", "p"))
    assert counts(filled) == alone(filled, x=Part(2), y=Part(2, P))


def test_a_dropped_entry_can_be_ingested_again(filled: Path) -> None:
    before = public_rows(filled)
    drop(find_drop(Handle(filled), "x"))
    with writing(filled) as connection:
        parts.add(connection, "x", Part(2, P | Q))
    assert public_rows(filled) == before


def test_who_is_unknown_is_told_what_there_is(filled: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no model 'z'. There is: x, y"):
        find_drop(Handle(filled), "z")
    with pytest.raises(NotFoundError, match=r"y has no corpus 'q'. There is: p"):
        find_drop(Handle(filled), "y", "q")


def test_unfinished_runs_go_along(filled: Path) -> None:
    with writing(filled) as connection:
        rows = {"top_token": parts._top_tokens(2)}
        parts.load(connection, 1, "vocab", rows, None, {"k": 9}, finish=False)
    drop(find_drop(Handle(filled), "x"))
    assert counts(filled) == alone(filled, y=Part(2, P))


def staged(filled: Path, *names: str) -> list[Path]:
    folders = [staging_root(filled) / name for name in names]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "rows.parquet").touch()
    return folders


def test_what_was_staged_of_an_entry_goes_along(filled: Path) -> None:
    mine, mine_too, others = staged(filled, "x/vocab-1", "x/activations-2", "y/vocab-1")
    drop(find_drop(Handle(filled), "x"))
    assert [mine.exists(), mine_too.exists(), others.exists()] == [False, False, True]


def test_what_was_staged_of_one_corpus_goes_along(filled: Path) -> None:
    names = ("x/vocab-1", "x/activations-2", "corpora/q", "corpora/p")
    vocab, activations, q, p = staged(filled, *names)
    drop(find_drop(Handle(filled), "x", "q"))
    assert [each.exists() for each in (vocab, activations, q, p)] == [True, False, False, True]


def test_an_alias_never_leads_out_of_the_staging_folder(filled: Path) -> None:
    outside = filled.parent / "vocab-mine"
    outside.mkdir()
    execute(filled, "update model set alias = '..' where alias = 'x'")
    staging_root(filled).mkdir()
    drop(find_drop(Handle(filled), ".."))
    assert outside.exists()
    assert query(filled, "select model from models") == [("y",)]


def test_a_drop_waits_for_an_ingest(filled: Path) -> None:
    found = find_drop(Handle(filled, 0.1), "x")
    with sole_ingest(Handle(filled, 0)), pytest.raises(DatabaseLocked):
        drop(found)
    assert len(query(filled, "from models")) == 2


def killed_drops(tmp_path: Path, moments: tuple[int, ...]) -> dict[int, Path]:
    """Catalogs whose drop of x was killed before its n-th transaction; z can be dropped next."""
    wanted = {"x": Part(2, P | Q), "y": Part(1, P), "z": Part()}
    original = parts.build(tmp_path / "original.duckdb", wanted)
    copies = {n: Path(shutil.copy(original, tmp_path / f"{n}.duckdb")) for n in moments}
    runs = [
        (Moment("catalog.store.writing", "writing", n), ["drop", "x", "--yes", "--db", copy])
        for n, copy in copies.items()
    ]
    assert killed(runs) == [-9] * len(runs)
    return copies


@pytest.mark.slow
def test_killed_at_any_moment_a_drop_hides_all_or_nothing_and_is_completed(tmp_path: Path) -> None:
    """Its transactions: one hides, others delete rows, a few million each, the last forgets."""
    copies = killed_drops(tmp_path, (1, 2, 3))
    copies[0] = Path(shutil.copy(copies[2], tmp_path / "half.duckdb"))
    execute(
        copies[0],
        "delete from exemplar where run_id = 3",
        "delete from neuron where layer = 0 and run_id = 2",
    )
    before = public_rows(tmp_path / "original.duckdb")
    hidden = {view: [row for row in rows if "x" not in row] for view, rows in before.items()}
    expected = alone(tmp_path / "original.duckdb", y=Part(1, P), z=Part())
    for n, copy in copies.items():
        assert public_rows(copy) == (before if n == 1 else hidden)
        drop(find_drop(Handle(copy), "x"))
        assert public_rows(copy) == hidden
        assert counts(copy) == expected


def test_a_killed_drop_is_completed_by_the_next_one_or_a_compact(tmp_path: Path) -> None:
    next_one, compacted = killed_drops(tmp_path, (2, 3)).values()
    drop(find_drop(Handle(next_one), "z"))
    assert counts(next_one) == alone(next_one, y=Part(1, P))
    compact(Handle(compacted))
    expected = parts.build(tmp_path / "expected.duckdb", {"y": Part(1, P), "z": Part()})
    assert counts(compacted) == counts(expected)


def test_no_run_gets_the_number_of_one_whose_rows_are_being_deleted(tmp_path: Path) -> None:
    path = parts.build(tmp_path / "c.duckdb", {"y": Part(), "x": Part(2)})
    runs = [(Moment("catalog.store.writing", "writing", 2), ["drop", "x", "--yes", "--db", path])]
    assert killed(runs) == [-9]
    with writing(path) as connection:
        parts.add(connection, "new", Part(cosine=0.5))
    expected = parts.build(tmp_path / "e.duckdb", {"y": Part(), "new": Part(cosine=0.5)})
    assert public_rows(path) == public_rows(expected)


def test_the_command_says_that_the_file_keeps_its_size(
    filled: Path, cli: Callable[..., Answer]
) -> None:
    answer = cli("drop", "x", "--yes", "--db", filled)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("dropped x; ")
    assert f"catalog compact --db {filled}" in answer.err
    assert cli("drop", "x", "--yes", "--db", filled).code == 3


def test_without_a_terminal_it_wants_to_be_told(filled: Path) -> None:
    answer = command("drop", "x", "--db", filled)
    assert answer.code == 2
    assert "say so with --yes" in answer.err
    assert len(query(filled, "from models")) == 2


@pytest.mark.parametrize(
    ("said", "code", "left"), [(b"n\n", 130, 2), (b"y\n", 0, 1), (b"\n", 130, 2)]
)
def test_on_a_terminal_it_asks(filled: Path, said: bytes, code: int, left: int) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "drop", "x", "--db", filled],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    os.write(master, said)
    _, err = process.communicate(timeout=60)
    os.close(slave)
    os.close(master)
    assert process.returncode == code
    assert b"Drop x (" in err
    assert len(query(filled, "from models")) == left
