"""Running an ingest in a process of its own, and what it leaves in its folder."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from catalog.errors import CatalogError, command_line
from catalog.ingest.progress import Progress, Silent
from tests.ingest import processes
from tests.support import Answer, Row, last_of_each, public_rows

KEPT = (".duckdb", ".duckdb.lock", ".duckdb.staging", ".duckdb.wal")
"""How the names of all files end that a catalog may bring along."""


class At(Silent):
    """Does something once, when a part of an ingest begins."""

    def __init__(self, title: str, action: Callable[[], object]) -> None:
        self.title, self.action = title, action
        self.done = False

    def begin(self, title: str, total: int, done: int = 0) -> None:
        if title == self.title and not self.done:
            self.done = True
            self.action()


@dataclass(frozen=True)
class Ingest:
    """`catalog ingest` of one checkpoint with raw weights on the CPU."""

    db: Path
    checkpoint: Path
    options: tuple[str, ...]

    @property
    def words(self) -> tuple[object, ...]:
        fixed = ("--weights", "raw", "--device", "cpu", "--alias", "tiny", "--wait", "0.3")
        return ("ingest", self.checkpoint, *fixed, *self.options, "--db", self.db)

    def start(self, *more: object, before: Callable[[], object] = bool) -> ForkServerProcess:
        return processes.start(self.log, *last_of_each(*self.words, *more), before=before)

    def answer(self, *more: object, before: Callable[[], object] = bool) -> Answer:
        """Run it to its end, under the circumstances that `before` makes."""
        return self.end_of(self.start(*more, before=before))

    def here(self, progress: Progress) -> Answer:
        """Run it in this process, telling `progress` what it does; errors as the command's."""
        from catalog.ingest.corpus import CorpusSpec
        from catalog.ingest.driver import IngestRequest, ingest
        from catalog.store.handle import Handle

        words = dict(zip(self.options[::2], self.options[1::2], strict=True))
        corpus = words.get("--corpus")
        request = IngestRequest(
            catalog=Handle(self.db, 0.3),
            source=str(self.checkpoint),
            alias="tiny",
            weights="raw",
            stages=(words["--stages"],),
            corpus=CorpusSpec(corpus, context_length=8) if corpus else None,
            exemplars=2,
            device="cpu",
        )
        try:
            ingest(request, progress)
        except CatalogError as refused:
            return Answer(int(refused.exit_code), "", f"Error: {refused.message(command_line)}")
        return Answer(0, "", "")

    def end_of(self, process: ForkServerProcess) -> Answer:
        """Wait for the end of the process, which must come."""
        process.join(60)
        if process.exitcode is None:
            process.kill()
        assert process.exitcode is not None, f"it hangs: {self.log.read_text()}"
        assert process.exitcode not in (-signal.SIGSEGV, -signal.SIGABRT)
        return Answer(process.exitcode, "", self.log.read_text(errors="replace"))

    @property
    def log(self) -> Path:
        return self.db.parent.with_suffix(".log")

    def rows(self) -> dict[str, list[Row]]:
        return public_rows(self.db)

    def left_nothing_else(self) -> None:
        """Nothing but the catalog, its lock and its staging folder is in the catalog's folder."""
        for path in self.db.parent.iterdir():
            assert path.name.startswith(self.db.name), path
            assert path.name.removeprefix(self.db.stem) in KEPT, path

    def carries_on(self) -> dict[str, list[Row]]:
        """Run it again, undisturbed: it must end well and leave no staging folder."""
        answer = self.answer()
        assert answer.code == 0, answer.err
        assert not self.db.with_name(self.db.name + ".staging").exists()
        self.left_nothing_else()
        return self.rows()
