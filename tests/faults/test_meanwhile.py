"""Something happens while an ingest is at work."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import pytest

from catalog.store import writing
from catalog.store.handle import Handle
from catalog.store.staging import sole_ingest, staging_root
from tests.faults.registry import Fault, injects
from tests.faults.runs import At, Ingest
from tests.support import Answer, Row, query, wait_until

Rows = Callable[[Ingest], dict[str, list[Row]]]
SAME = "what was computed; the same command carries on to the same rows"


@injects(
    Fault(
        "a second ingest into the same catalog",
        6,
        "Error: Another ingest into … is running (process …), and still was after 0.3 s. "
        "Let it finish, or wait longer with --wait.",
        "the first ingest goes on",
    )
)
def test_a_second_ingest(fault: Fault, weights: Ingest) -> None:
    with sole_ingest(Handle(weights.db, 0)):
        answer = weights.answer()
    fault.seen(answer)
    assert f"(process {os.getpid()})" in answer.err


@injects(
    Fault(
        "the staging folder is deleted while rows are computed",
        7,
        "Error: … could not be written: …No such file or directory…",
        "the catalog; the same command computes them anew",
    ),
    Fault(
        "the staging folder is deleted before its rows are loaded",
        7,
        "Error: … was removed while its rows were needed. Run the same command again.",
        "the catalog; the same command computes them anew",
    ),
    Fault(
        "the catalog is deleted while an ingest computes",
        6,
        "Error: There is no catalog at …",
        "nothing of the old catalog; the same command makes a new one",
    ),
    Fault(
        "the catalog is replaced by another file while an ingest computes",
        6,
        "Error: … is not a catalog, or it is damaged …",
        "the other file, untouched",
    ),
)
def test_files_that_go_away(fault: Fault, weights: Ingest, undisturbed: Rows) -> None:
    def replaced() -> None:
        weights.db.unlink()
        weights.db.write_bytes(b"something else\n" * 1000)

    moment, action = {
        "rows are computed": ("weights", lambda: shutil.rmtree(staging_root(weights.db))),
        "are loaded": ("loading weights", lambda: shutil.rmtree(staging_root(weights.db))),
        "is deleted while an ingest": ("weights", weights.db.unlink),
        "replaced": ("weights", replaced),
    }[next(words for words in MOMENTS if words in fault.name)]
    fault.seen(weights.here(At(moment, action)))
    if "replaced" in fault.name:
        assert weights.db.read_bytes() == b"something else\n" * 1000
        weights.db.unlink()
    assert weights.carries_on() == undisturbed(weights)


MOMENTS = ("replaced", "rows are computed", "are loaded", "is deleted while an ingest")


@injects(
    Fault(
        "the corpus has changed since an ingest that was interrupted",
        4,
        "Error: The corpus 'corpus' was ingested before with other contexts",
        "the catalog as it was; another --corpus-name takes the new corpus",
    ),
)
def test_a_corpus_that_changes(fault: Fault, activations: Ingest, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in ("a.txt", "b.txt"):
        (corpus / name).write_text(f"w1 w2 w3 w4 {name}")
    options = [str(corpus) if "corpus.jsonl" in word else word for word in activations.options]
    ingest = replace(activations, options=tuple(options))
    stopped = ingest.here(At("activations", lambda: shutil.rmtree(staging_root(ingest.db))))
    assert stopped.code == 7
    (corpus / "b.txt").write_text("w7 w8 w9")
    fault.seen(ingest.here(At("", bool)))
    assert query(ingest.db, "select count(*) from exemplars") == [(0,)]


@injects(
    Fault(
        "the checkpoint is replaced while an ingest computes",
        4,
        "Error: … is truncated or no safetensors file: … Download or save it again.",
        "the catalog as it was",
    )
)
def test_a_checkpoint_that_changes(fault: Fault, weights: Ingest, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(weights.checkpoint, tmp_path / "copy"))

    def cut() -> None:
        whole = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").write_bytes(whole[:2000])

    fault.seen(replace(weights, checkpoint=folder).here(At("weights", cut)))
    assert query(weights.db, "select count(*) from neurons") == [(0,)]


@injects(
    Fault(
        "the clock jumps back by a year during an ingest", 0, "", "all; no run ends before it began"
    ),
    Fault("the clock jumps ahead by a year during an ingest", 0, "", "all"),
)
def test_a_clock_that_jumps(fault: Fault, weights: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    step = timedelta(days=-365 if "back" in fault.name else 365)

    class Clock(datetime):
        shift = timedelta()

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            cls.shift += step
            return super().now(tz) + cls.shift

    monkeypatch.setattr(writing, "datetime", Clock)
    fault.seen(weights.here(At("", bool)))
    [(in_order, seconds)] = query(
        weights.db,
        "select finished_at >= started_at, (notes->>'load_seconds')::double from ingest_run",
    )
    assert in_order
    assert 0 <= seconds < 3600


SIGNALS = {
    Fault("SIGTERM, as schedulers send it", 130, "Error: Interrupted. …", SAME): [signal.SIGTERM],
    Fault("Ctrl-C twice", 130, "Error: Interrupted. …", SAME): [signal.SIGINT, signal.SIGINT],
    Fault("kill -9", -9, "", SAME): [signal.SIGKILL],
}


@injects(*SIGNALS)
def test_signals(fault: Fault, weights: Ingest, undisturbed: Rows) -> None:
    process = weights.start()
    wait_until(lambda: staging_root(weights.db).exists() or not process.is_alive())
    for number in SIGNALS[fault]:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, number)
    fault.seen(weights.end_of(process))
    assert weights.carries_on() == undisturbed(weights)


@injects(
    Fault(
        "a catalog is copied while an ingest writes to it",
        0,
        "",
        "the original; the copy is whole, or is refused as damaged (exit code 6)",
    )
)
def test_a_copy_taken_while_writing(
    fault: Fault, weights: Ingest, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    copies: list[Path] = []
    process = weights.start()
    while process.is_alive():
        if weights.db.exists():
            copies.append(Path(shutil.copy(weights.db, tmp_path / f"{len(copies)}.duckdb")))
        time.sleep(0.05)
    fault.seen(weights.end_of(process))
    assert copies
    for copy in copies[-6:]:
        answer = cli("sql", "select count(*) from neurons", "--db", copy, "--format", "csv")
        assert answer.code == 6 or answer.out.split()[-1] in ("0", "72"), answer
        assert "Traceback" not in answer.err


@injects(
    Fault("the catalog's path has spaces, quotes, a newline and 日本", 0, "", "all"),
    Fault("the catalog is a symbolic link", 0, "", "all; the link stays a link"),
    Fault(
        "an alias that leads out of a folder (../../x)",
        2,
        "Error: The alias '../../x' has an @ or a /",
        "nothing is written",
    ),
)
def test_odd_names(fault: Fault, weights: Ingest, undisturbed: Rows, tmp_path: Path) -> None:
    ingest = weights
    if "path" in fault.name:
        folder = tmp_path / "a b ' \" \n 日本"
        folder.mkdir()
        ingest = replace(weights, db=folder / "c ' \n.duckdb")
    elif "link" in fault.name:
        weights.db.symlink_to(tmp_path / "real.duckdb")
    else:
        ingest = replace(weights, options=(*weights.options, "--alias", "../../x"))
    before = set(tmp_path.iterdir())
    fault.seen(ingest.answer())
    new = {path.name for path in set(tmp_path.iterdir()) - before}
    assert new <= {ingest.log.name, "real.duckdb", "real.duckdb.lock"}
    n_neurons = 0 if fault.code else 72
    assert query(ingest.db, "select count(*) from neurons") == [(n_neurons,)]
    if "link" in fault.name:
        assert weights.db.is_symlink()
