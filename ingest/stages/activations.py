"""Stage `activations`: statistics and exemplars of every neuron, from one pass over a corpus."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import torch

from catalog.ingest.activations.contexts import CountingRule, draw_samples
from catalog.ingest.activations.job import PassJob
from catalog.ingest.activations.state import ActivationState
from catalog.ingest.activations.tables import (
    exemplar_table,
    sample_position_table,
    sample_table,
    stat_table,
)
from catalog.ingest.corpora import EnteredCorpus, load_contexts
from catalog.ingest.engines.engine import Engine
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Progress
from catalog.ingest.stages.vocab import pieces_table
from catalog.ingest.vocabulary import Vocabulary
from catalog.store.handle import Handle
from catalog.store.staging import Staging
from catalog.store.writing import register_vocabulary
from catalog.taxonomy import N_SAMPLED_POSITIONS

TOKENS_PER_BATCH: Final = 8192
"""Part of what a unit is, so the same on every machine: enough to fill a GPU at the 7B shape."""

SEED: Final = 0


class ActivationsStage:
    """The checkpoint's own forward pass; rows of all layers come when all units are through."""

    name: ClassVar[str] = "activations"
    bulk_tables: ClassVar[tuple[str, ...]] = (
        "activation_stat",
        "exemplar",
        "activation_sample",
        "sample_position",
    )

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

    @property
    def corpus_id(self) -> int:
        return self.corpus.corpus_id

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
        job, corpus = self._job(), self.corpus.tokenised
        saved = staging.folder / "state.safetensors"
        state, notes = engine.run_pass(job, corpus, saved, self.checkpoint_every_s, progress)
        for layer in range(self.weights.n_layers):
            staging.write(layer, "activation_stat", stat_table(state, layer))
            staging.write(layer, "exemplar", exemplar_table(state, layer, corpus))
            staging.write(layer, "activation_sample", sample_table(state, layer))
            # Positions are those of all layers and stand with the first.
            positions = sample_position_table(job.samples)
            staging.write(layer, "sample_position", positions if layer == 0 else positions[:0])
        if state.nonfinite:
            progress.note(_nonfinite_note(state))
        return notes | {
            "halved_units": {str(unit): parts for unit, parts in sorted(state.halved.items())},
            "nonfinite": [[*place, n] for place, n in sorted(state.nonfinite.items())],
        }

    def load_references(self, catalog: Handle, model_id: int) -> None:
        with catalog.writing() as connection:
            register_vocabulary(
                connection, model_id, self.vocabulary.digest, pieces_table(self.vocabulary)
            )
        load_contexts(catalog, self.corpus)

    def _job(self) -> PassJob:
        corpus = self.corpus.tokenised
        excluded = corpus.special_tokens == "excluded"
        rule = CountingRule(
            tuple(corpus.special_token_ids) if excluded else (),
            skip_first=excluded and corpus.position_0_special,
        )
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
