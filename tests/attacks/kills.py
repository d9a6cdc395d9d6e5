"""Kills every command that writes, at moments all over its work; compares what is then there.

    python -m tests.attacks.kills --kills 100

After each kill readers must get whole rows, and `verify` finds nothing wrong; the same command,
run again, must end well or say that it had ended, with the rows of a command left in peace. Of
texts every file that has its name is whole.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import click

from catalog.store.lake.text import TEXT_FORMATS
from tests.attacks.inputs import SAID, ingest_words
from tests.attacks.processes import apart, command, what_is_seen
from tests.support import VOLATILE

PASSED_OVER: Final = (*VOLATILE, "ingest_runs")
"""Runs that were killed and done again are in the history of runs twice."""


class Killed(NamedTuple):
    """A command that writes to `target`, in a folder with the files that it needs.

    `done`: the code with which it refuses to do again what it has done. `texts`: the target is a
    folder of them.
    """

    name: str
    words: Callable[[Path], Sequence[str]]
    target: str
    needs: tuple[str, ...] = ()
    models: tuple[str, ...] = ("a", "b")
    done: int = 0
    texts: bool = False


def _in(name: str, *words: str) -> Callable[[Path], Sequence[str]]:
    """Words in which FOLDER stands for the folder."""
    return lambda folder: [
        name,
        *(word.replace("FOLDER", str(folder)) for word in words),
    ]


_TABLE: Final = ("--format", "table")

COMMANDS: Final = (
    Killed("ingest", lambda f: ingest_words(f, "a", f / "new.duckdb"), "new.duckdb", (), ("a",)),
    Killed(
        "ingest --force",
        lambda f: [*ingest_words(f, "a", f / "a.duckdb"), "--force"],
        "a.duckdb",
        ("a.duckdb",),
        ("a",),
    ),
    Killed(
        "ingest --engine ray",
        lambda f: [*ingest_words(f, "a", f / "new.duckdb"), "--engine", "ray", "--workers", "1"],
        "new.duckdb",
        (),
        ("a",),
    ),
    Killed(
        "import descriptions",
        _in("import", "descriptions", f"FOLDER/{SAID}", *_TABLE, "--db", "FOLDER/a.duckdb"),
        "a.duckdb",
        ("a.duckdb",),
        ("a",),
    ),
    Killed(
        "describe",
        _in("describe", "1.2", "names a class", "--db", "FOLDER/a.duckdb"),
        "a.duckdb",
        ("a.duckdb",),
        ("a",),
    ),
    Killed(
        "ablate",
        _in("ablate", "a", "--neurons", "0.1,1.2", "--yes", "--db", "FOLDER/a.duckdb"),
        "a.duckdb",
        ("a.duckdb",),
        ("a",),
    ),
    Killed(
        "merge",
        _in("merge", "FOLDER/a.duckdb", "FOLDER/b.duckdb", "--into", "FOLDER/m.duckdb"),
        "m.duckdb",
        ("a.duckdb", "b.duckdb"),
        done=6,
    ),
    Killed(
        "drop",
        _in("drop", "a", "--yes", "--db", "FOLDER/both.duckdb"),
        "both.duckdb",
        ("both.duckdb",),
        ("b",),
        done=3,
    ),
    Killed(
        "compact", _in("compact", "--db", "FOLDER/both.duckdb"), "both.duckdb", ("both.duckdb",)
    ),
    Killed(
        "export parquet",
        _in("export", "FOLDER/lake", "--force", "--db", "FOLDER/both.duckdb"),
        "lake",
        ("both.duckdb",),
    ),
    *(
        Killed(
            f"export {name}",
            _in("export", "FOLDER/t", "--format", name, "--force", "--db", "FOLDER/both.duckdb"),
            "t",
            ("both.duckdb",),
            (),
            texts=True,
        )
        for name in TEXT_FORMATS
    ),
    Killed(
        "export site",
        _in("export", "site", "FOLDER/t", "--model", "a", "--force", "--db", "FOLDER/both.duckdb"),
        "t",
        ("both.duckdb",),
        (),
        texts=True,
    ),
    Killed(
        "export duckdb",
        _in("export", "FOLDER/x.duckdb", "--format", "duckdb", "--db", "FOLDER/both.duckdb"),
        "x.duckdb",
        ("both.duckdb",),
        done=6,
    ),
    Killed(
        "upgrade",
        _in("upgrade", "--db", "FOLDER/old.duckdb"),
        "old.duckdb",
        ("old.duckdb",),
        (),
    ),
)


class Attack:
    """Commands on copies of the files of one folder of inputs."""

    def __init__(self, inputs: Path, scratch: Path) -> None:
        self._inputs = inputs
        self._scratch = scratch
        self._undisturbed: dict[str, tuple[str, float]] = {}

    def kill(self, killed: Killed, share: float) -> str:
        """What became of a command that was killed after a share of its time: 'same', or what not.

        Left in peace it is run once before, for its rows and its time.
        """
        expected, seconds = self._left_in_peace(killed)
        folder = self._folder(killed)
        words, target = killed.words(folder), folder / killed.target
        sources = {name: (folder / name).read_bytes() for name in killed.needs}
        pid = os.fork()
        if pid == 0:
            _run_silently(words)
        time.sleep(seconds * share)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for name, whole in sources.items():
            if folder / name != target and (folder / name).read_bytes() != whole:
                return f"{name} was changed"
        if killed.texts:
            if broken := set(_seen(killed, folder).split("\n")) - {*expected.split("\n"), ""}:
                return f"after the kill these are no whole files: {broken}"
        elif complaint := _complaint(target):
            return f"after the kill {complaint}"
        again = apart(command(*words))
        if again.code not in (0, killed.done):
            return f"run again it ended with {again.code}: {again.err}"
        for model in killed.models:
            checked = apart(command("verify", model, "--db", target))
            if checked.code:
                return f"verify {model}: {checked.code}: {checked.err}"
        return "same" if _seen(killed, folder) == expected else "OTHER ROWS"

    def _left_in_peace(self, killed: Killed) -> tuple[str, float]:
        if killed.name not in self._undisturbed:
            folder = self._folder(killed)
            started = time.monotonic()
            ended = apart(command(*killed.words(folder)))
            seconds = time.monotonic() - started
            if ended.code:
                raise click.ClickException(f"{killed.name}: {ended.err}")
            self._undisturbed[killed.name] = _seen(killed, folder), seconds
        return self._undisturbed[killed.name]

    def _folder(self, killed: Killed) -> Path:
        """A new folder with the files that the command needs; the checkpoint is linked."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        for name in ("model", "texts.txt", SAID):
            (self._scratch / name).symlink_to(self._inputs / name)
        for name in killed.needs:
            shutil.copy(self._inputs / name, self._scratch / name)
        return self._scratch


def _run_silently(words: Sequence[str]) -> None:
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        command(*words)()
    finally:
        os._exit(0)


def _seen(killed: Killed, folder: Path) -> str:
    """The rows that readers get of the target; the digest of every file of texts with its name."""
    target = folder / killed.target
    if not killed.texts:
        return what_is_seen(target, PASSED_OVER)
    files = sorted(target.glob("[!.]*"))
    return "\n".join(f"{file.name} {sha256(file.read_bytes()).hexdigest()}" for file in files)


def _complaint(target: Path) -> str:
    """What is wrong with the target for readers; nothing if it is not there, or is outdated."""
    if not target.exists():
        return ""
    there = apart(command("sql", "select model from models", "--format", "csv", "--db", target))
    if there.code == 6 and ("upgrade" in there.err or "no whole model" in there.err):
        return ""
    if target.is_dir() and there.code == 6 and "interrupted" in there.err:
        return ""
    if there.code:
        return f"a reader is told: {there.err}"
    for model in there.out.split()[1:]:
        checked = apart(command("verify", model, "--db", target))
        if checked.code:
            return f"verify {model} says {checked.err}"
    return ""


@click.command()
@click.argument("inputs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--kills", default=100, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(inputs: Path, kills: int, seed: int) -> None:
    """Kill commands in turn, on files of INPUTS (`python -m tests.attacks.inputs INPUTS`).

    Exit code 1 if anything was lost.
    """
    # Every command runs in a fork, which has these already.
    import torch  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401

    import catalog.cli.commands.ingest
    import catalog.ingest.driver  # noqa: F401

    chance = random.Random(seed)
    outcomes: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        attack = Attack(inputs.resolve(), Path(scratch) / "files")
        for at in range(kills):
            killed = COMMANDS[at % len(COMMANDS)]
            share = chance.random()
            outcome = attack.kill(killed, share)
            outcomes[killed.name, outcome] += 1
            if outcome != "same":
                click.echo(f"{killed.name} killed after {share:.0%} of its time: {outcome}")
    for (name, outcome), n in sorted(outcomes.items()):
        click.echo(f"{n:5} {name}: {outcome if outcome == 'same' else 'not the same'}")
    sys.exit(any(outcome != "same" for _, outcome in outcomes))


if __name__ == "__main__":
    main()
