"""Takes a pass through its corpus on any engine: resumed, announced, saved now and then."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from catalog.errors import Declined
from catalog.formats.durations import duration
from catalog.ingest.engines.engine import Engine, Estimate, Pass, StateT
from catalog.ingest.progress import Progress

ASK_ABOVE_S: Final = 3600.0


ROWS_PER_SECOND: Final = 150_000
"""Made, staged, loaded and digested: exemplars on two cores, when lists and texts are long."""


def take_pass(
    taken: Pass[StateT],
    engine: Engine,
    saved: Path,
    save_every_s: float,
    progress: Progress,
    n_rows: int = 0,
) -> tuple[StateT, dict[str, Any]]:
    """The state that holds all units, and what is worth keeping with the run.

    Carries on from `saved` if it holds a state of this very pass, and saves there. `n_rows` will be
    made of it: what these take is told before it starts.

    Raises:
        Declined: the user does not want to wait that long.
        EnvironmentFault: `saved` is damaged or cannot be written.
    """
    began = time.monotonic()
    progress.note(f"{taken.name}: opens the model")
    fold = engine.fold(taken)
    opening = fold.opening
    state = opening.state(saved, fold.device)
    left = [unit for unit in range(taken.n_units) if unit not in state.units]
    said = ", ".join(filter(None, (fold.description, opening.description)))
    progress.note(f"{taken.name}: {said}")
    if left:
        progress.note(f"{taken.name}: measures one batch to say how long it will take")
        estimate = fold.estimate()
        reading = estimate.seconds * len(left) / taken.n_units / fold.n_workers
        seconds = [time.monotonic() - began, reading, n_rows / ROWS_PER_SECOND]
        _announce(taken.name, estimate, fold.n_workers, seconds, progress)
    progress.begin(taken.name, taken.n_units, len(state.units))
    last_saved = time.monotonic()
    with closing(fold.read(state, left, save_every_s)) as steps:
        for n_units, note in steps:
            # Saved first: what is told may end the ingest.
            if time.monotonic() - last_saved >= save_every_s:
                state.save(saved)
                last_saved = time.monotonic()
            progress.advance(n_units)
            if note:
                progress.note(note)
    state.save(saved)
    progress.end()
    return state, {**opening.notes, **fold.notes}


def _announce(
    name: str, estimate: Estimate, n_workers: int, seconds: Sequence[float], progress: Progress
) -> None:
    """Say how long a stage will take, and ask if what is to come is above an hour.

    `seconds`: for opening and measuring, which are over, for reading, and for the rows.

    Raises Declined where the answer is no.
    """
    spent, reading, rows = seconds
    progress.note(
        f"{name}: about {duration(sum(seconds))} in all: {duration(spent)} so far, "
        f"{duration(reading)} to read at {n_workers * estimate.tokens_per_second:,.0f} tokens a "
        f"second, {duration(rows)} to write and load rows; the running state takes "
        f"{estimate.state_mb:,.0f} MB" + (" in each worker" if n_workers > 1 else "")
    )
    ask_if_long(name, reading + rows, progress)


def ask_if_long(name: str, seconds: float, progress: Progress) -> None:
    """Ask whether to go on if a stage will take more than an hour.

    Raises Declined where the answer is no.
    """
    if seconds > ASK_ABOVE_S and not progress.confirm("Go on?"):
        raise Declined(f"Not started: the {name} stage was declined.")
