"""Stage `activations`: statistics and exemplars of every neuron, from one pass over a corpus."""

from collections.abc import Mapping
from typing import Any, Final

from catalog.ingest.activations.contexts import CountingRule, draw_samples
from catalog.ingest.activations.corpus_pass import CorpusPass
from catalog.ingest.activations.job import PassJob
from catalog.ingest.activations.state import ActivationState
from catalog.ingest.corpora import EnteredCorpus
from catalog.ingest.engines.engine import Engine
from catalog.ingest.progress import Progress
from catalog.ingest.stages.corpus_stage import CorpusStage
from catalog.ingest.stages.stage import StageContext
from catalog.store.staging import Staging
from catalog.taxonomy import N_SAMPLED_POSITIONS, sign_cases

TOKENS_PER_BATCH: Final = 8192
"""Part of what a unit is, so the same on every machine: enough to fill a GPU at the 7B shape."""

SEED: Final = 0


class ActivationsStage(CorpusStage[ActivationState]):
    """The checkpoint's own forward pass."""

    name = "activations"
    state_file = "state.safetensors"

    def __init__(self, context: StageContext, corpus: EnteredCorpus) -> None:
        super().__init__(context, corpus)
        self.k = context.exemplars

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "corpus": self.corpus.tokenised.digest,
            "exemplars": self.k,
            "tokens_per_batch": TOKENS_PER_BATCH,
            "samples": N_SAMPLED_POSITIONS,
            "seed": SEED,
        }

    @property
    def n_rows(self) -> int:
        n_cases = len(sign_cases(gated=self.weights.family.mlp.gated))
        a_case = 1 + min(self.k, self.corpus.tokenised.n_contexts)
        return super().n_rows * (n_cases * a_case + 1)

    @property
    def n_bytes(self) -> int:
        return 52 * self.n_rows + 11 * self.corpus.tokenised.n_tokens

    def corpus_pass(self, staging: Staging, engine: Engine, progress: Progress) -> CorpusPass:
        corpus = self.corpus.tokenised
        if corpus.n_contexts < self.k:
            progress.note(
                f"{self.corpus.name}: {corpus.n_contexts} contexts, each of which gives a sign "
                f"case one exemplar at most, so fewer than {self.k}; shorter contexts would give "
                "more."
            )
        rule = CountingRule.of(corpus)
        job = PassJob(
            weights=self.weights,
            device=self.device,
            dtype=self.dtype,
            k=self.k,
            tokens_per_batch=TOKENS_PER_BATCH,
            seed=SEED,
            corpus=corpus.digest,
            n_tokens=corpus.n_tokens,
            lengths=corpus.lengths,
            special_tokens=corpus.special_tokens,
            rule=rule,
            samples=draw_samples(corpus, rule, SEED),
        )
        return CorpusPass(job, corpus)

    def notes(self, state: ActivationState, progress: Progress) -> Mapping[str, Any]:
        if state.nonfinite:
            progress.note(_nonfinite_note(state))
        return {"nonfinite": [[*place, n] for place, n in sorted(state.nonfinite.items())]}


def _nonfinite_note(state: ActivationState) -> str:
    total = sum(state.nonfinite.values())
    (layer, context), _ = min(state.nonfinite.items())
    return (
        f"{total:,} activations are NaN or infinite and were not ranked, the first in "
        f"layer {layer}, context {context}; all places stand in the notes of ingest_runs"
    )
