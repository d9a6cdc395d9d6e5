"""What stages that read a corpus share: the pass, its saved state, what its rows refer to."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch

from catalog.errors import Option, UsageError
from catalog.ingest.activations.contexts import CountingRule
from catalog.ingest.activations.model import dequantised_size
from catalog.ingest.corpora import EnteredCorpus, load_contexts
from catalog.ingest.engines.engine import Engine, Pass
from catalog.ingest.job_passes import CorpusJob, CutState
from catalog.ingest.passing import take_pass
from catalog.ingest.progress import Progress
from catalog.ingest.stages.stage import Stage, StageContext
from catalog.ingest.stages.vocab import entry_vocabulary, load_vocabulary
from catalog.store.handle import Handle
from catalog.store.staging import Staging

StateT = TypeVar("StateT", bound=CutState)
JobT = TypeVar("JobT", bound=CorpusJob)


class CorpusStage(Stage, Generic[StateT]):
    """Rows of all layers come from one pass over a corpus, when all units are through."""

    state_file: ClassVar[str]

    def __init__(self, context: StageContext, corpus: EnteredCorpus) -> None:
        self.weights = context.weights
        self.vocabulary = entry_vocabulary(context)
        self.corpus = corpus
        self.dtype = context.dtype
        self.device = context.device
        self.checkpoint_every_s = context.checkpoint_every_s
        self.corpus_id = corpus.corpus_id

    @classmethod
    def of(cls, context: StageContext) -> Self:
        if context.corpus is None:
            raise UsageError(
                f"The stage {cls.name} needs a corpus:", "name one with ", Option("corpus"), "."
            )
        return cls(context, context.corpus)

    @property
    def n_rows(self) -> int:
        """Rows that will be made of the pass, at most."""
        return self.weights.sizes.n_neurons

    def job(self, kind: type[JobT], tokens_per_batch: int) -> JobT:
        """A job over the whole corpus."""
        corpus = self.corpus.tokenised
        return kind(
            weights=self.weights,
            device=self.device,
            dtype=self.dtype,
            corpus=corpus.digest,
            lengths=corpus.lengths,
            rule=CountingRule.of(corpus),
            tokens_per_batch=tokens_per_batch,
        )

    @abstractmethod
    def corpus_pass(self, staging: Staging, engine: Engine, progress: Progress) -> Pass[StateT]:
        """The pass that gives the rows; one that has to come before it is taken here."""

    @abstractmethod
    def notes(self, state: StateT, progress: Progress) -> Mapping[str, Any]:
        """Counts worth keeping with the run, of a state that holds all units; says what is odd."""

    def compute(self, staging: Staging, engine: Engine, progress: Progress) -> Mapping[str, Any]:
        checkpoint = self.weights.checkpoint
        if checkpoint.tensors.is_dequantised:
            progress.note(f"{dequantised_size(checkpoint, getattr(torch, self.dtype))}.")
        taken = self.corpus_pass(staging, engine, progress)
        saved = staging.folder / self.state_file
        state, notes = take_pass(
            taken, engine, saved, self.checkpoint_every_s, progress, self.n_rows
        )
        progress.begin(f"{self.name}: rows", self.weights.n_layers)
        for layer in range(self.weights.n_layers):
            for table, rows in taken.tables(state, layer).items():
                staging.write(layer, table, rows)
            progress.advance()
        progress.end()
        halved = {str(unit): parts for unit, parts in sorted(state.halved.items())}
        return {**notes, "halved_units": halved, **self.notes(state, progress)}

    def load_references(self, catalog: Handle, model_id: int) -> None:
        load_vocabulary(catalog, model_id, self.vocabulary)
        load_contexts(catalog, self.corpus)
