"""Stage `attribution`: what each neuron's own zero ablation would do to the loss, estimated."""

from collections.abc import Mapping
from typing import Any, Final

from catalog.ingest.attribution.passes import AttributionJob
from catalog.ingest.attribution.state import AttributionState
from catalog.ingest.job_passes import JobPass
from catalog.ingest.progress import Progress
from catalog.ingest.stages.corpus_stage import CorpusStage

TOKENS_PER_BATCH: Final = 2048
"""Part of what a unit is: fewer than a pass without gradient takes, which keeps no activations."""


class AttributionStage(CorpusStage[AttributionState]):
    """One forward and backward pass of the checkpoint's own model."""

    name = "attribution"
    state_file = "state.npz"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"corpus": self.corpus.tokenised.digest, "tokens_per_batch": TOKENS_PER_BATCH}

    @property
    def n_bytes(self) -> int:
        return 20 * self.n_rows

    def corpus_pass(self, *_: object) -> JobPass[AttributionState]:
        job = self.job(AttributionJob, TOKENS_PER_BATCH)
        return JobPass(job, self.corpus.tokenised, self.name)

    def notes(self, state: AttributionState, progress: Progress) -> Mapping[str, Any]:
        n_null = int((state.nonfinite > 0).sum())
        if n_null:
            progress.note(f"{n_null:,} neurons have a gradient that is not finite: NULL")
        return {"null_neurons": n_null, "scored_positions": state.n_scored}
