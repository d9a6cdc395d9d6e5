"""Takes a pass through its corpus on any engine: resumed, announced, saved now and then."""

import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from catalog.errors import Declined
from catalog.ingest.engines.engine import Engine, Estimate, Pass, StateT
from catalog.ingest.progress import Progress

ASK_ABOVE_S: Final = 3600.0


def take_pass(
    taken: Pass[StateT], engine: Engine, saved: Path, save_every_s: float, progress: Progress
) -> tuple[StateT, dict[str, Any]]:
    """The state that holds all units, and what is worth keeping with the run.

    Carries on from `saved` if it holds a state of this very pass, and saves there.

    Raises:
        Declined: the user does not want to wait that long.
        EnvironmentFault: `saved` is damaged or cannot be written.
    """
    fold = engine.fold(taken)
    opening = fold.opening
    state = opening.state(saved, fold.device)
    left = [unit for unit in range(taken.n_units) if unit not in state.units]
    said = ", ".join(filter(None, (fold.description, opening.description)))
    progress.note(f"{taken.name}: {said}")
    if left:
        progress.note(f"{taken.name}: measures one batch to say how long it will take")
        share_left = len(left) / taken.n_units
        _announce(taken.name, fold.estimate(), share_left, fold.n_workers, progress)
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
    name: str, estimate: Estimate, share_left: float, n_workers: int, progress: Progress
) -> None:
    """Say how long the rest of a pass will take, and ask if that is above an hour.

    Raises Declined where the answer is no.
    """
    seconds = estimate.seconds * share_left / n_workers
    progress.note(
        f"{name}: about {duration(seconds)} at "
        f"{n_workers * estimate.tokens_per_second:,.0f} tokens a second; the running state takes "
        f"{estimate.state_mb:,.0f} MB" + (" in each worker" if n_workers > 1 else "")
    )
    ask_if_long(name, seconds, progress)


def ask_if_long(name: str, seconds: float, progress: Progress) -> None:
    """Ask whether to go on if a stage will take more than an hour.

    Raises Declined where the answer is no.
    """
    if seconds > ASK_ABOVE_S and not progress.confirm("Go on?"):
        raise Declined(f"Not started: the {name} stage was declined.")


def duration(seconds: float) -> str:
    """A time in words, as exact as an estimate is."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
