"""Stage `attribution`: what each neuron's own zero ablation would do to the loss, estimated."""

from collections.abc import Mapping
from typing import Any, Final, Self

import torch

from catalog.errors import Option, UsageError
from catalog.ingest.activations.contexts import CountingRule
from catalog.ingest.activations.model import dequantised_size
from catalog.ingest.attribution.passes import AttributionJob
from catalog.ingest.corpora import EnteredCorpus, load_contexts
from catalog.ingest.engines.engine import Engine
from catalog.ingest.job_passes import JobPass
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.passing import take_pass
from catalog.ingest.progress import Progress
from catalog.ingest.stages.stage import Stage, StageContext
from catalog.ingest.stages.vocab import entry_vocabulary, load_vocabulary
from catalog.ingest.vocabulary import Vocabulary
from catalog.store.handle import Handle
from catalog.store.staging import Staging

TOKENS_PER_BATCH: Final = 2048
"""Part of what a unit is: fewer than a pass without gradient takes, which keeps no activations."""


class AttributionStage(Stage):
    """One forward and backward pass; rows of all layers come when all units are through."""

    name = "attribution"

    def __init__(
        self,
        weights: NeuronVectors,
        vocabulary: Vocabulary,
        corpus: EnteredCorpus,
        dtype: str,
        device: torch.device,
        checkpoint_every_s: float,
    ) -> None:
        self.weights = weights
        self.vocabulary = vocabulary
        self.corpus = corpus
        self.dtype = dtype
        self.device = device
        self.checkpoint_every_s = checkpoint_every_s
        self.corpus_id = corpus.corpus_id

    @classmethod
    def of(cls, context: StageContext) -> Self:
        if context.corpus is None:
            raise UsageError(
                "The stage attribution needs a corpus:", "name one with ", Option("corpus"), "."
            )
        return cls(
            context.weights,
            entry_vocabulary(context),
            context.corpus,
            context.dtype,
            context.device,
            context.checkpoint_every_s,
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"corpus": self.corpus.tokenised.digest, "tokens_per_batch": TOKENS_PER_BATCH}

    def compute(self, staging: Staging, engine: Engine, progress: Progress) -> Mapping[str, Any]:
        checkpoint = self.weights.checkpoint
        if checkpoint.tensors.is_dequantised:
            progress.note(f"{dequantised_size(checkpoint, getattr(torch, self.dtype))}.")
        corpus = self.corpus.tokenised
        job = AttributionJob(
            weights=self.weights,
            device=self.device,
            dtype=self.dtype,
            corpus=corpus.digest,
            lengths=corpus.lengths,
            rule=CountingRule.of(corpus),
            tokens_per_batch=TOKENS_PER_BATCH,
        )
        taken = JobPass(job, corpus, self.name)
        saved = staging.folder / "state.npz"
        state, notes = take_pass(taken, engine, saved, self.checkpoint_every_s, progress)
        for layer in range(self.weights.n_layers):
            for table, rows in taken.tables(state, layer).items():
                staging.write(layer, table, rows)
        n_null = int((state.nonfinite > 0).sum())
        if n_null:
            progress.note(f"{n_null:,} neurons have a gradient that is not finite: NULL")
        return notes | {
            "halved_units": {str(unit): parts for unit, parts in sorted(state.halved.items())},
            "null_neurons": n_null,
            "scored_positions": state.n_scored,
        }

    def load_references(self, catalog: Handle, model_id: int) -> None:
        load_vocabulary(catalog, model_id, self.vocabulary)
        load_contexts(catalog, self.corpus)
