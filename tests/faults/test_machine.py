"""The machine refuses: no space, no permission, no memory, nowhere to write."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.faults import conditions
from tests.faults.registry import Fault, injects
from tests.faults.runs import At, Ingest
from tests.ingest import processes
from tests.support import COMMAND, Answer, Row, environment, fingerprint

Rows = Callable[[Ingest], dict[str, list[Row]]]
SAME = "what was computed; the same command carries on to the same rows"
NO_ROOM = "Error: … could not be written: …No space left on device. Make room or name another --db"


def mounted(*words: str) -> None:
    if subprocess.run(["mount", *words], capture_output=True).returncode:
        pytest.skip("no permission to mount")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted("-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Write until nothing more fits."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 8, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


FULL = {
    Fault("the disk is full while rows are staged", 7, NO_ROOM, SAME): ("weights", "weights"),
    Fault(
        "the disk is full while rows are loaded",
        7,
        "Error: No space left while writing … Free some space and run the same command again",
        SAME,
    ): ("weights", "loading weights"),
    Fault(
        "the disk is full while a corpus is tokenised",
        7,
        "Error: … could not be written: … No space left on device",
        "the catalog as it was; the same command begins the corpus anew",
    ): ("activations", "tokenising corpus"),
    Fault(
        "the disk is full while the activation pass saves its state",
        7,
        "Error: The checkpoint … cannot be written: … No space left on device",
        "the state that was saved before, if any; the same command carries on from it",
    ): ("activations", "activations"),
    Fault(
        "the disk is full while activations are loaded",
        7,
        "Error: No space left while writing …",
        SAME,
    ): ("activations", "loading activations"),
}


@injects(*FULL)
def test_a_full_disk(
    fault: Fault, disk: Path, weights: Ingest, activations: Ingest, undisturbed: Rows
) -> None:
    stage, moment = FULL[fault]
    whole = weights if stage == "weights" else activations
    cramped = replace(whole, db=disk / "c.duckdb")
    fault.seen(cramped.here(At(moment, lambda: fill(disk))))
    (disk / "filler").unlink()
    assert cramped.carries_on() == undisturbed(whole)


@injects(
    Fault(
        "no file may grow (RLIMIT_FSIZE, a quota) while a catalog is made",
        7,
        "Error: No space left while writing …",
        SAME,
    )
)
@pytest.mark.parametrize("n_bytes", [2_000, 20_000])
def test_a_limit_of_file_size(fault: Fault, n_bytes: int, weights: Ingest) -> None:
    fault.seen(weights.answer(before=partial(conditions.files_at_most, n_bytes)))
    assert len(weights.carries_on()["neurons"]) == 72


MAKING = {
    Fault(
        f"no file may grow (RLIMIT_FSIZE, a quota) in the midst of {what}",
        7,
        "Error: …" + sees,
        "the sources as they were; no new file, and no lock",
    ): words
    for what, sees, words in (
        ("a merge", "o space left …", ["merge", "{db}", "--into", "{folder}/new.duckdb"]),
        ("a compact", "o space left …", ["compact", "--db", "{db}"]),
        (
            "an export of a catalog file",
            "o space left …",
            ["export", "{folder}/new.duckdb", "--format", "duckdb", "--db", "{db}"],
        ),
        ("an export of a lake", "…", ["export", "{folder}/lake", "--db", "{db}"]),
    )
}


@injects(*MAKING)
@pytest.mark.parametrize("n_bytes", [1_000, 300_000, 700_000])
def test_a_limit_in_the_midst(
    fault: Fault, n_bytes: int, weights: Ingest, db: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    words = [word.format(db=db, folder=folder) for word in MAKING[fault]]
    before = fingerprint(db.parent)
    limited = partial(conditions.files_at_most, n_bytes)
    answer = weights.end_of(processes.start(weights.log, *words, before=limited))
    if answer.code == 0 and "lake" in fault.name:
        return  # all its files are smaller
    fault.seen(answer)
    kept = {name: digest for name, digest in fingerprint(db.parent).items() if ".lock" not in name}
    assert kept == before
    assert not [path for path in folder.rglob("*") if path.is_file() and "lake" not in path.parts]
    assert weights.end_of(processes.start(weights.log, *words)).code == 0


@injects(
    Fault(
        "an answer is larger than the memory (RLIMIT_AS)",
        7,
        "Error: …ut of memory…",
        "the catalog; the answer is lost",
    ),
)
def test_more_than_fits_in_memory(fault: Fault, weights: Ingest, db: Path) -> None:
    limited = partial(conditions.memory_left, 2_000_000_000)
    words = ("sql", "from range(2000000000)", "--format", "json", "--db", db)
    fault.seen(weights.end_of(processes.start(weights.log, *words, before=limited)))


@injects(
    Fault("too many open files (RLIMIT_NOFILE)", 7, "Error: …oo many open files", SAME),
)
def test_few_open_files(fault: Fault, activations: Ingest) -> None:
    fault.seen(activations.answer(before=partial(conditions.open_files_left, 1)))
    assert len(activations.carries_on()["activation_stats"]) == 4 * 72


def open_to_all(folder: Path) -> None:
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@needs_root
@injects(
    Fault(
        "the catalog's folder belongs to somebody else",
        7,
        "Error: … cannot be written: no permission.",
        "all; nothing is written",
    ),
    Fault(
        "the catalog file is read-only",
        7,
        "Error: … cannot be written: no permission.",
        "the catalog as it was; it can still be read",
    ),
)
def test_no_permission(fault: Fault, weights: Ingest, db: Path) -> None:
    target = weights if "folder" in fault.name else replace(weights, db=db)
    for folder in (target.db.parent, target.checkpoint):
        open_to_all(folder)
    before = fingerprint(target.db.parent)
    fault.seen(target.answer(before=conditions.nobody))
    assert fingerprint(target.db.parent) == before


@injects(
    Fault("HOME and the Hub's cache are read-only", 0, "tiny: 72 neurons", "all"),
    Fault("HOME is not set", 0, "tiny: 72 neurons", "all"),
    Fault("there is no folder for temporary files", 0, "tiny: 72 neurons", "all"),
)
def test_nowhere_to_write_but_beside_the_catalog(
    fault: Fault, weights: Ingest, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    circumstances: dict[str, Callable[[], object]] = {
        "HOME and the Hub's cache are read-only": partial(conditions.home_in, home),
        "HOME is not set": conditions.no_home,
        "there is no folder for temporary files": conditions.no_temporary_folder,
    }
    if "read-only" in fault.name:
        mounted("-t", "tmpfs", "-o", "ro", "tmpfs", str(home))
    try:
        fault.seen(weights.answer(before=circumstances[fault.name]))
    finally:
        subprocess.run(["umount", "-l", str(home)], capture_output=True)
    assert len(weights.rows()["neurons"]) == 72
    weights.left_nothing_else()


@injects(
    Fault(
        "the catalog lies on a file system mounted read-only",
        7,
        "Error: … cannot be written: no permission.",
        "the catalog as it was; it can still be read",
    )
)
def test_a_read_only_file_system(
    fault: Fault, weights: Ingest, db: Path, cli: Callable[..., Answer]
) -> None:
    mounted("--bind", str(db.parent), str(db.parent))
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(db.parent)], check=True)
        fault.seen(replace(weights, db=db).answer())
        assert cli("models", "--db", db).code == 0
    finally:
        subprocess.run(["umount", "-l", str(db.parent)], check=True)


FULL_OUTPUT = {
    Fault(
        "--output is a device that is full",
        7,
        "Error: … No space left on device",
        "the catalog; the answer is lost",
    ): ["--format", "csv", "--output", "/dev/full"],
    Fault(
        "standard output is a device that is full",
        7,
        "Error: … No space left on device",
        "the catalog; the answer is lost",
    ): ["--format", "csv"],
}


def told(words: list[object], stdout: int, **variables: str) -> Answer:
    """Run the command with this standard output."""
    done = subprocess.run(
        [COMMAND, *map(str, words)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=environment(**variables),
        timeout=60,
        check=False,
    )
    return Answer(done.returncode, "", done.stderr.decode())


@injects(*FULL_OUTPUT)
def test_a_full_output(fault: Fault, db: Path) -> None:
    before = fingerprint(db.parent)
    with Path("/dev/full").open("wb") as full:
        words = ["sql", "from range(20000)", *FULL_OUTPUT[fault], "--db", db]
        fault.seen(told(words, full.fileno()))
    assert fingerprint(db.parent) == before


@injects(
    Fault("standard output is closed", 0, "", "all; the answer goes nowhere"),
    Fault("the locale is C", 0, "", "all; other characters are written as escapes"),
)
def test_odd_streams(fault: Fault, db: Path) -> None:
    before = fingerprint(db.parent)
    words = f"{COMMAND} sql 'from top_tokens' --db '{db}'"
    closing = {"standard output is closed": " >&-", "the locale is C": " >/dev/null"}
    done = subprocess.run(
        ["sh", "-c", words + closing[fault.name]],
        env=environment(LC_ALL="C", LANG="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
        capture_output=True,
        timeout=60,
        check=False,
    )
    fault.seen(Answer(done.returncode, "", done.stderr.decode()))
    assert fingerprint(db.parent) == before
