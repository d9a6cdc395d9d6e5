"""Before a pass: what was saved of it, and how long the rest will take."""

from pathlib import Path
from typing import Final

import torch

from catalog.errors import Declined
from catalog.ingest.activations.run import Estimate
from catalog.ingest.activations.state import ActivationState, PassPlan
from catalog.ingest.progress import Progress

ASK_ABOVE_S: Final = 3600.0


def resumed_state(saved: Path, plan: PassPlan, device: torch.device) -> ActivationState:
    """What an interrupted run saved, if it was of the same plan; else a state that holds nothing.

    Raises EnvironmentFault if the file is there and cannot be read.
    """
    if saved.exists():
        state = ActivationState.load(saved, device)
        if state.plan == plan:
            return state
    return ActivationState.empty(plan, device)


def announce(estimate: Estimate, share_left: float, n_workers: int, progress: Progress) -> None:
    """Say how long the rest of the pass will take, and ask if that is above an hour.

    Raises Declined where the answer is no.
    """
    seconds = estimate.seconds * share_left / n_workers
    progress.note(
        f"activations: about {_duration(seconds)} at "
        f"{n_workers * estimate.tokens_per_second:,.0f} tokens a second; the running state takes "
        f"{estimate.state_mb:,.0f} MB" + (" in each worker" if n_workers > 1 else "")
    )
    if seconds > ASK_ABOVE_S and not progress.confirm("Go on?"):
        raise Declined("Not started: the activations stage was declined.")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
