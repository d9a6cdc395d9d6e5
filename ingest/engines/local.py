"""The engine that computes everything in this process, on one device."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from catalog.ingest.activations.estimating import announce, resumed_state
from catalog.ingest.activations.job import PassJob
from catalog.ingest.activations.run import UnitDone, measure, run_units
from catalog.ingest.corpus import TokenisedCorpus
from catalog.ingest.device import pick_device
from catalog.ingest.engines.engine import FinishedPass, Part, PartRows, PartsStage
from catalog.ingest.progress import Progress


class LocalEngine:
    """One part after another; the state of a pass stays on the device until it is finished."""

    def device(self, asked: str) -> torch.device:
        return pick_device(asked)

    def parts(self, stage: PartsStage, parts: Iterable[Part]) -> Iterator[tuple[Part, PartRows]]:
        return ((part, stage.part_rows(part)) for part in parts)

    def run_pass(
        self,
        job: PassJob,
        corpus: TokenisedCorpus,
        saved: Path,
        checkpoint_every_s: float,
        progress: Progress,
    ) -> FinishedPass:
        work, notes = job.open(corpus)
        kernel = work.kernel
        progress.note(f"activations: {kernel.name} reading of the sign cases ({kernel.reason})")
        state = resumed_state(saved, work.plan, work.device)
        n_left = len(work.units) - len(state.units)
        if n_left:
            announce(measure(work), n_left / len(work.units), 1, progress)
        progress.begin("activations", len(work.units), len(state.units))

        def tell(done: UnitDone) -> None:
            progress.advance()
            if done.n_parts > 1:
                progress.note(f"a batch did not fit in memory and was cut into {done.n_parts}")

        run_units(
            work, state, checkpoint=saved, checkpoint_every_s=checkpoint_every_s, progress=tell
        )
        progress.end()
        return FinishedPass(state, notes)
