"""Runs ingests for the command line: progress bars, a closing summary, errors per model."""

from types import TracebackType
from typing import TYPE_CHECKING

from catalog.api import Catalog
from catalog.cli.interruption import stop_if_asked
from catalog.cli.messages import confirm, console, error, note
from catalog.cli.progress_lines import ProgressLines
from catalog.errors import CatalogError, HintPart, command_line
from catalog.store.new_files import megabytes
from catalog.visible import visible

if TYPE_CHECKING:
    from rich.progress import TaskID

    from catalog.ingest.request import IngestOutcome, IngestRequest


class ProgressBars:
    """Draws an ingest's progress on standard error."""

    def __init__(self, *, assume_yes: bool) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._console = console()
        self._bars = Progress(
            TextColumn("{task.description:24}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            # Rich would obey the escapes of whatever else is written meanwhile.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task: TaskID | None = None
        self._done, self._within = 0, 0.0
        self._assume_yes = assume_yes

    def __enter__(self) -> "ProgressBars":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def begin(self, title: str, total: int, done: int = 0) -> None:
        """Start a bar."""
        stop_if_asked()
        self._bars.start()
        self._task = self._bars.add_task(visible(title), total=total, completed=done)
        self._done, self._within = done, 0.0

    def advance(self, units: int = 1) -> None:
        """Move the bar."""
        stop_if_asked()
        self._done, self._within = self._done + units, 0.0
        self._draw()

    def within(self, amount: float) -> None:
        """Move the bar by as much of the units at work as is done."""
        self._within = max(self._within, amount)
        self._draw()

    def end(self) -> None:
        """Leave the bar, full."""
        if self._task is not None:
            total = self._bars.tasks[self._bars.task_ids.index(self._task)].completed
            self._bars.update(self._task, total=total)
        self._task = None

    def note(self, said: str, *hint: HintPart) -> None:
        """Print a line above the bars."""
        text = " ".join(filter(None, [said, "".join(map(command_line, hint))]))
        self._console.print(visible(text))

    def confirm(self, question: str) -> bool:
        """Ask, with the bars out of the way."""
        self._bars.stop()
        return confirm(question, assume_yes=self._assume_yes)

    def _draw(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=self._done + self._within)


def progress(*, assume_yes: bool) -> ProgressBars | ProgressLines:
    """Bars on a terminal, else lines."""
    kind = ProgressBars if console().is_terminal else ProgressLines
    return kind(assume_yes=assume_yes)


def ingest_all(catalog: Catalog, requests: "list[IngestRequest]", *, assume_yes: bool) -> None:
    """Ingest one model after another; one that fails does not keep the others back.

    Raises:
        CatalogError: the first failure, after all models were tried; of several models, which
            failed, for what was wrong was said when it happened.
    """
    from catalog.api import ingest

    failures: list[tuple[str, CatalogError]] = []
    for request in requests:
        try:
            with progress(assume_yes=assume_yes) as shown:
                outcome = ingest(request, shown)
            _summarise(catalog, outcome)
        except CatalogError as failure:
            # Steps of a series on the Hub have one source.
            name = request.place.alias if request.place else request.source
            failures.append((name, failure))
            if len(requests) > 1:
                said = failure.message(command_line)
                error(said if name in said or request.source in said else f"{name}: {said}")
    if failures:
        names, errors = zip(*failures, strict=True)
        if len(requests) == 1:
            raise errors[0]
        raise type(errors[0])(
            f"{len(names)} of {len(requests)} could not be ingested: {', '.join(names)}."
        )


def _summarise(catalog: Catalog, outcome: "IngestOutcome") -> None:
    """Say what is in the catalog now: neurons, classes, NULLs, seconds, file."""
    classes = catalog.summary(outcome.alias)
    total = sum(neurons for _, neurons in classes)
    if total:
        note(f"{outcome.alias}: {total:,} neurons")
    for io_class, neurons in classes:
        name = io_class or "NULL (a vector is zero or not finite)"
        note(f"  {name:24}{neurons:>12,}  {neurons / total:7.2%}")
    seconds = "  ".join(f"{each.stage} {each.seconds:.1f} s" for each in outcome.outcomes)
    note(f"{seconds}   {catalog.path}: {megabytes(catalog.handle.file.stat().st_size)}")
