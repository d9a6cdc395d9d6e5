"""`catalog ablate`: one pass for all that is asked, then rows of one ablation after another."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from catalog.errors import CorpusError, Option, UsageError
from catalog.ingest.ablation.arms import Ablation, Arm
from catalog.ingest.ablation.corpus import (
    FirstContexts,
    StoredCorpus,
    counting_rule,
    first_contexts,
    stored_corpora,
)
from catalog.ingest.ablation.effects import EffectState
from catalog.ingest.ablation.ordering import Order, check_choices, make_order
from catalog.ingest.ablation.passes import TOKENS_PER_BATCH, AblationJob
from catalog.ingest.ablation.request import AblateOutcome, AblateRequest
from catalog.ingest.ablation.results import ablation_tables
from catalog.ingest.activations.model import dequantised_size
from catalog.ingest.checkpoint.ingested import checkpoint_of
from catalog.ingest.corpora import enter_corpus, forget_corpus, load_contexts
from catalog.ingest.corpus.spec import DEFAULT_MAX_TOKENS, CorpusSpec
from catalog.ingest.device import pick_dtype
from catalog.ingest.engines.choosing import open_engine
from catalog.ingest.engines.engine import Engine
from catalog.ingest.entry import as_entered
from catalog.ingest.job_passes import JobPass
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.passing import take_pass
from catalog.ingest.progress import Progress
from catalog.ingest.running import EntryRuns
from catalog.ingest.stages.stage import Runnable
from catalog.ingest.stages.vocab import load_vocabulary
from catalog.ingest.vocabulary import vocabulary_pieces
from catalog.queries.neuron_record import read_entry
from catalog.queries.records import Entry
from catalog.stages import ABLATION
from catalog.store.handle import Handle
from catalog.store.staging import Staging, sole_ingest
from catalog.store.writing import finished_run
from catalog.taxonomy import DEMO_CORPUS, DEMO_MODELS


def ablate(request: AblateRequest, progress: Progress) -> AblateOutcome:
    """Ablate the subsets asked for and their baselines, and bring the effects into the catalog.

    An ablation that is there is left as it is, unless `request.force`; one that was interrupted is
    carried on.

    Raises:
        UsageError, NotFoundError, SqlError: a subset, baseline or corpus that cannot be had.
        CheckpointError: the checkpoint is gone, has changed, or has no language-model head.
        CorpusError: the corpus cannot be read.
        EnvironmentFault: no space, memory, permission, device or cluster.
    """
    with open_engine(request.engine, progress) as engine, sole_ingest(request.catalog):
        device = engine.device(request.device)
        entry = read_entry(request.catalog, request.model)
        check_choices(request, gated=entry.gated)
        checkpoint = checkpoint_of(entry, request.tokenizer, request.checkpoint)
        weights = NeuronVectors(checkpoint, entry.weights)
        with request.catalog.tables("") as connection:
            (model_id,) = connection.execute(
                "select model_id from model where alias = $1", [entry.model]
            ).fetchone() or (0,)
        contexts = _contexts(request, weights, entry, model_id, progress)
        order = make_order(request, entry, contexts, progress)
        runs = EntryRuns(request.catalog, model_id, as_entered(entry), engine, progress)
        shared = _SharedPass(
            request, weights, device, contexts, order, _todo(request, model_id, contexts, order)
        )
        outcomes = [
            runs.run(AblationRun(shared, ablation), redo=request.force)
            for ablation in order.ablations
        ]
        shared.forget()
    ids = tuple(each.id for each in order.ablations)
    return AblateOutcome(entry.model, contexts.corpus.name, ids, tuple(outcomes))


def _todo(
    request: AblateRequest, model_id: int, contexts: FirstContexts, order: Order
) -> list[Ablation]:
    """The ablations that are not finished, or are to be redone."""
    corpus_id = contexts.corpus.corpus_id
    with request.catalog.tables("") as connection:
        return [
            each
            for each in order.ablations
            if request.force
            or finished_run(connection, model_id, ABLATION.name, corpus_id, each.id) is None
        ]


def _contexts(
    request: AblateRequest,
    weights: NeuronVectors,
    entry: Entry,
    model_id: int,
    progress: Progress,
) -> FirstContexts:
    """The contexts to read, of a corpus that the catalog holds then.

    Raises:
        UsageError: it is not clear which corpus.
        CorpusError: it cannot be read.
    """
    corpus = _stored(request, entry)
    if corpus is None:
        spec = request.corpus or CorpusSpec(DEMO_CORPUS)  # which brings its own
        entered = enter_corpus(
            request.catalog, spec, request.corpus_name, weights, model_id, progress
        )
        load_contexts(request.catalog, entered)
        forget_corpus(entered)
        with request.catalog.tables("") as connection:
            known = stored_corpora(connection, entry.model)
        corpus = next(each for each in known if each.corpus_id == entered.corpus_id)
    with request.catalog.tables("") as connection:
        contexts = first_contexts(connection, corpus, request.max_tokens)
    n_tokens = int(contexts.lengths.sum())
    if n_tokens < request.max_tokens != DEFAULT_MAX_TOKENS:
        progress.note(
            f"{corpus.name} holds {n_tokens:,} tokens, fewer than the {request.max_tokens:,} asked "
            "for; all are read"
        )
    return contexts


def _stored(request: AblateRequest, entry: Entry) -> StoredCorpus | None:
    """The corpus asked for if the entry knows it, the only one if none was named.

    None for one that is to be entered first.
    """
    with request.catalog.tables("") as connection:
        known = stored_corpora(connection, entry.model)
    names = [each.name for each in known]
    if request.corpus is None:
        if len(known) == 1:
            return known[0]
        if not known and entry.source in DEMO_MODELS:
            return None
        there = (
            f"There are several: {', '.join(names)}." if known else f"{entry.model} has none yet."
        )
        raise UsageError(f"Which corpus? {there}", "Name one with ", Option("corpus"), ".")
    asked = (request.corpus_name or request.corpus.source, request.corpus.source)
    found = next((each for each in known if each.name in asked), None)
    if found is not None and found.n_contexts == 0:
        raise CorpusError(f"The corpus {found.name!r} has no contexts.")
    return found


class _SharedPass:
    """One pass for all ablations that are to be computed, taken when the first needs it."""

    def __init__(
        self,
        request: AblateRequest,
        weights: NeuronVectors,
        device: torch.device,
        contexts: FirstContexts,
        order: Order,
        todo: Sequence[Ablation],
    ) -> None:
        self.request, self.weights, self.device = request, weights, device
        self.contexts, self.order, self.todo = contexts, order, list(todo)
        self.dtype = pick_dtype(request.dtype, device)
        self._taken: tuple[AblationJob, EffectState, dict[str, Any]] | None = None
        self._staging: Staging | None = None

    def taken(
        self, engine: Engine, progress: Progress
    ) -> tuple[AblationJob, EffectState, dict[str, Any]]:
        """The job, its finished state, and what is worth keeping with the runs."""
        if self._taken is None:
            job = self._job(progress)
            plan = json.dumps(asdict(job.plan), sort_keys=True)
            key = hashlib.sha256(plan.encode()).hexdigest()[:16]
            alias = self.order.neurons.entry.model
            self._staging = Staging.of(
                self.request.catalog.file, alias, f"{ABLATION.name}-pass", key
            )
            saved = self._staging.folder / "state.npz"
            taken = JobPass(job, self.contexts, ABLATION.name)
            every = self.request.checkpoint_every_s
            state, notes = take_pass(taken, engine, saved, every, progress)
            notes["halved_units"] = {str(at): n for at, n in sorted(state.halved.items())}
            if n_lost := int(state.nonfinite.sum()):
                progress.note(
                    f"{n_lost:,} effects are NaN or infinite and left out; how many of each is in "
                    "ablation_effects"
                )
            self._taken = job, state, notes
        return self._taken

    def forget(self) -> None:
        """Remove the saved state, whose rows the catalog holds now."""
        if self._staging is not None:
            self._staging.discard()

    def _job(self, progress: Progress) -> AblationJob:
        checkpoint = self.weights.checkpoint
        if checkpoint.tensors.is_dequantised:
            progress.note(f"{dequantised_size(checkpoint, getattr(torch, self.dtype))}.")
        arms = self.order.arms(self.todo, self.request)
        _say_unmatched(self.todo, arms, progress)
        statistics, neurons = self.order.statistics, self.order.neurons
        means = (
            {} if statistics is None or "mean" not in self.request.kinds else statistics.mean_post
        )
        flips = (
            {}
            if self.request.post_sign is None
            else {at: neurons.flips(at) for at in neurons.layers}
        )
        return AblationJob(
            weights=self.weights,
            device=self.device,
            dtype=self.dtype,
            corpus=self.contexts.corpus.digest,
            lengths=self.contexts.lengths,
            rule=counting_rule(self.contexts.corpus, self.weights),
            ablations=tuple(self.todo),
            arms=tuple(arms),
            means=means,
            flipped=flips,
            k=self.request.k,
        )


def _say_unmatched(ablations: Sequence[Ablation], arms: Sequence[Arm], progress: Progress) -> None:
    """Say where a baseline has fewer neurons than the subset."""
    said = set()
    for arm in arms:
        text = ablations[arm.ablation].subset.text
        if arm.drawn is None or arm.drawn.n_unmatched == 0 or (text, arm.baseline) in said:
            continue
        said.add((text, arm.baseline))
        n_asked = arm.n_neurons + arm.drawn.n_unmatched
        progress.note(
            f"{text}: the baseline {arm.baseline} has {arm.n_neurons:,} neurons for its "
            f"{n_asked:,}; the layers have no others"
        )


class AblationRun(Runnable):
    """One ablation, whose rows are staged at once."""

    name = ABLATION.name
    n_parts = 1

    def __init__(self, shared: _SharedPass, ablation: Ablation) -> None:
        self._shared, self._ablation = shared, ablation
        self.device, self.dtype = shared.device, shared.dtype
        self.corpus_id = shared.contexts.corpus.corpus_id
        self.subject = ablation.id

    @property
    def title(self) -> str:
        return f"ablation {self._ablation.id} ({self._ablation.subset.text})"

    @property
    def parameters(self) -> Mapping[str, Any]:
        request, ablation = self._shared.request, self._ablation
        return {
            "corpus": self._shared.contexts.corpus.digest,
            "contexts": len(self._shared.contexts.token_ids),
            "subset": ablation.subset.text,
            "kind": ablation.kind,
            "gate": ablation.gate_sign,
            "post": ablation.post_sign,
            "baselines": list(request.baselines),
            "draws": request.n_draws if request.baselines else 0,
            "seed": ablation.seed,
            "positions_kept": request.k,
            "tokens_per_batch": TOKENS_PER_BATCH,
        }

    def compute(self, staging: Staging, engine: Engine, progress: Progress) -> Mapping[str, Any]:
        job, state, notes = self._shared.taken(engine, progress)
        at = job.ablations.index(self._ablation)
        tables = ablation_tables(state, at, self._ablation, job.arms, self._shared.contexts)
        for table, rows in tables.items():
            staging.write(0, table, rows)
        return notes

    def load_references(self, catalog: Handle, model_id: int) -> None:
        weights = self._shared.weights
        pieces = vocabulary_pieces(weights.checkpoint.tokenizer(), weights.d_vocab)
        load_vocabulary(catalog, model_id, pieces)
