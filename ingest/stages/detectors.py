"""Stage `detectors`: neurons that fire on a few input tokens, and those that never fire.

docs/definitions.md, "Detectors". A stage of its own and no part of `activations`: that pass would
have to carry the buckets of all neurons, and an entry that has been through it would need it again.
"""

from collections.abc import Mapping
from typing import Any

from catalog.ingest.detectors.passes import BucketJob, TokenJob
from catalog.ingest.detectors.state import TokenState
from catalog.ingest.engines.engine import Engine
from catalog.ingest.job_passes import JobPass
from catalog.ingest.passing import take_pass
from catalog.ingest.progress import Progress
from catalog.ingest.stages.activations import TOKENS_PER_BATCH
from catalog.ingest.stages.corpus_stage import CorpusStage
from catalog.store.staging import Staging


class DetectorsStage(CorpusStage[TokenState]):
    """Two readings of the corpus by the checkpoint's own model, without logits."""

    name = "detectors"
    state_file = "tokens.npz"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"corpus": self.corpus.tokenised.digest, "tokens_per_batch": TOKENS_PER_BATCH}

    @property
    def n_bytes(self) -> int:
        return 8 * self.n_rows

    def corpus_pass(
        self, staging: Staging, engine: Engine, progress: Progress
    ) -> JobPass[TokenState]:
        corpus = self.corpus.tokenised
        first = self.job(BucketJob, TOKENS_PER_BATCH)
        saved = staging.folder / "buckets.npz"
        taken = JobPass(first, corpus, self.name)
        state, _ = take_pass(taken, engine, saved, self.checkpoint_every_s, progress)
        self._candidates = int(state.candidates.sum())
        return JobPass(TokenJob.after(first, state), corpus, self.name)

    def notes(self, state: TokenState, progress: Progress) -> Mapping[str, Any]:
        return {"candidates": self._candidates}
