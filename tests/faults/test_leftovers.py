"""What a crash, another user or another time left: locks, logs, dates."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import duckdb
import pytest

from catalog.store import writing
from tests.faults import conditions
from tests.faults.registry import Fault, injects
from tests.faults.runs import At, Ingest
from tests.faults.test_machine import needs_root, open_to_all
from tests.support import Answer, Row, command, public_rows

Rows = Callable[[Ingest], dict[str, list[Row]]]

LOCKS = {
    Fault("a lock of a process that has gone", 0, "tiny: 72 neurons", "all"): "999999",
    Fault("a lock that holds something else", 0, "tiny: 72 neurons", "all"): "\0" * 100_000,
}


@injects(*LOCKS)
def test_a_lock_that_nobody_holds(fault: Fault, weights: Ingest, undisturbed: Rows) -> None:
    weights.db.with_name(weights.db.name + ".lock").write_text(LOCKS[fault])
    fault.seen(weights.answer())
    assert weights.rows() == undisturbed(weights)


@needs_root
@injects(
    Fault(
        "the lock belongs to somebody else",
        7,
        "Error: … could not be written: Permission denied.",
        "the lock, and the catalog as it was",
    ),
    Fault(
        "a folder stands in the place of the lock",
        7,
        "Error: … could not be written: …",
        "the folder, and the catalog as it was",
    ),
)
def test_a_lock_that_cannot_be_taken(fault: Fault, weights: Ingest, db: Path) -> None:
    for folder in (db.parent, weights.checkpoint):
        open_to_all(folder)
    db.chmod(0o666)
    db.parent.chmod(0o777)
    before = db.read_bytes()
    lock = db.with_name(db.name + ".lock")
    if "folder" in fault.name:
        lock.mkdir()
    else:
        lock.touch(0o600)
    fault.seen(replace(weights, db=db).answer(before=conditions.nobody))
    assert lock.exists()
    assert db.read_bytes() == before


@injects(
    Fault(
        "DuckDB's log beside the catalog is cut short, or a bit of it is another one",
        6,
        "Error: … damaged …",
        "the file; what the log held before the damage, or the refusal",
    )
)
def test_a_damaged_log(fault: Fault, db: Path, tmp_path: Path) -> None:
    expected = public_rows(db)
    with duckdb.connect(str(db)) as connection:
        connection.execute("pragma disable_checkpoint_on_shutdown")
        connection.execute("set wal_autocheckpoint = '1GB'")
        for run_id in range(900, 904):  # rows of a load that was killed, which no view shows
            connection.execute(
                "insert into sample_position select $1, 0, range, 0 from range(5000)", [run_id]
            )
    log = db.with_name(db.name + ".wal")
    whole, file = log.read_bytes(), db.read_bytes()
    assert len(whole) > 10_000
    middle = len(whole) // 2
    damaged = [whole[:n] for n in (0, 1, 17, middle, len(whole) - 1)]
    damaged.append(whole[:middle] + bytes([whole[middle] ^ 8]) + whole[middle + 1 :])
    for at, bytes_of_log in enumerate(damaged):
        folder = tmp_path / str(at)
        folder.mkdir()
        copy = folder / db.name
        copy.write_bytes(file)
        copy.with_name(log.name).write_bytes(bytes_of_log)
        for words in (["models"], ["verify", "alpha"], ["compact"], ["verify", "alpha"]):
            answer = command(*words, "--db", copy)
            if answer.code:
                fault.seen(answer)
        if not answer.code:
            assert public_rows(copy) == expected


@injects(
    Fault("files of the checkpoint and the corpus are dated before 1970", 0, "", "all"),
    Fault("the clock says that it is before 1970", 0, "", "all"),
)
def test_dates_before_the_epoch(
    fault: Fault,
    activations: Ingest,
    undisturbed: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cli: Callable[..., Answer],
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) - timedelta(days=365 * 100)

    ingest = activations
    if "clock" in fault.name:
        monkeypatch.setattr(writing, "datetime", Clock)
    else:
        folder = Path(shutil.copytree(activations.checkpoint, tmp_path / "old"))
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (-1e9, -1e9))
        ingest = replace(activations, checkpoint=folder)
    fault.seen(ingest.here(At("", bool)))
    for words in (["models"], ["verify", "tiny"], ["sql", "from ingest_runs"]):
        answer = cli(*words, "--db", ingest.db)
        assert answer.code == 0, answer
    assert ingest.rows()["exemplars"] == undisturbed(activations)["exemplars"]
