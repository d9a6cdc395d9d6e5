"""Stage `activations`: statistics and exemplars of every neuron, from one pass over a corpus."""

from collections.abc import Mapping
from typing import Any, Final, Self

import torch

from catalog.errors import Option, UsageError
from catalog.ingest.activations.contexts import CountingRule, draw_samples
from catalog.ingest.activations.corpus_pass import CorpusPass
from catalog.ingest.activations.job import PassJob
from catalog.ingest.activations.model import dequantised_size
from catalog.ingest.activations.state import ActivationState
from catalog.ingest.corpora import EnteredCorpus, load_contexts
from catalog.ingest.engines.engine import Engine
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.passing import take_pass
from catalog.ingest.progress import Progress
from catalog.ingest.stages.stage import Stage, StageContext
from catalog.ingest.stages.vocab import entry_vocabulary, load_vocabulary
from catalog.ingest.vocabulary import Vocabulary
from catalog.store.handle import Handle
from catalog.store.staging import Staging
from catalog.taxonomy import N_SAMPLED_POSITIONS

TOKENS_PER_BATCH: Final = 8192
"""Part of what a unit is, so the same on every machine: enough to fill a GPU at the 7B shape."""

SEED: Final = 0


class ActivationsStage(Stage):
    """The checkpoint's own forward pass; rows of all layers come when all units are through."""

    name = "activations"

    def __init__(
        self,
        weights: NeuronVectors,
        vocabulary: Vocabulary,
        corpus: EnteredCorpus,
        k: int,
        dtype: str,
        device: torch.device,
        checkpoint_every_s: float,
    ) -> None:
        self.weights = weights
        self.vocabulary = vocabulary
        self.corpus = corpus
        self.k = k
        self.dtype = dtype
        self.device = device
        self.checkpoint_every_s = checkpoint_every_s
        self.corpus_id = corpus.corpus_id

    @classmethod
    def of(cls, context: StageContext) -> Self:
        if context.corpus is None:
            raise UsageError(
                "The stage activations needs a corpus:", "name one with ", Option("corpus"), "."
            )
        return cls(
            context.weights,
            entry_vocabulary(context),
            context.corpus,
            context.exemplars,
            context.dtype,
            context.device,
            context.checkpoint_every_s,
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "corpus": self.corpus.tokenised.digest,
            "exemplars": self.k,
            "tokens_per_batch": TOKENS_PER_BATCH,
            "samples": N_SAMPLED_POSITIONS,
            "seed": SEED,
        }

    def compute(self, staging: Staging, engine: Engine, progress: Progress) -> Mapping[str, Any]:
        checkpoint = self.weights.checkpoint
        if checkpoint.tensors.is_dequantised:
            progress.note(f"{dequantised_size(checkpoint, getattr(torch, self.dtype))}.")
        taken = CorpusPass(self._job(), self.corpus.tokenised)
        saved = staging.folder / "state.safetensors"
        state, notes = take_pass(taken, engine, saved, self.checkpoint_every_s, progress)
        for layer in range(self.weights.n_layers):
            for table, rows in taken.tables(state, layer).items():
                staging.write(layer, table, rows)
        if state.nonfinite:
            progress.note(_nonfinite_note(state))
        return notes | {
            "halved_units": {str(unit): parts for unit, parts in sorted(state.halved.items())},
            "nonfinite": [[*place, n] for place, n in sorted(state.nonfinite.items())],
        }

    def load_references(self, catalog: Handle, model_id: int) -> None:
        load_vocabulary(catalog, model_id, self.vocabulary)
        load_contexts(catalog, self.corpus)

    def _job(self) -> PassJob:
        corpus = self.corpus.tokenised
        rule = CountingRule.of(corpus)
        return PassJob(
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


def _nonfinite_note(state: ActivationState) -> str:
    total = sum(state.nonfinite.values())
    (layer, context), _ = min(state.nonfinite.items())
    return (
        f"{total:,} activations are NaN or infinite and were not ranked, the first in "
        f"layer {layer}, context {context}; all places stand in the notes of ingest_runs"
    )
