"""Takes a checkpoint through the stages: compute into staging, load, show."""

from catalog.errors import Option, SchemaOutdated
from catalog.ingest.activations.model import require_runnable
from catalog.ingest.checkpoint import Checkpoint, gguf_checkpoints, open_checkpoint
from catalog.ingest.corpora import EnteredCorpus, enter_corpus, forget_corpus
from catalog.ingest.device import pick_dtype
from catalog.ingest.disk import announce_size, explaining_staged
from catalog.ingest.drift import SeriesDrift
from catalog.ingest.engines.choosing import open_engine
from catalog.ingest.entry import enter_model
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Progress
from catalog.ingest.request import IngestOutcome, IngestRequest
from catalog.ingest.running import EntryRuns
from catalog.ingest.stages.finding import stage_class, with_needed
from catalog.ingest.stages.stage import StageContext
from catalog.stages import stage_named
from catalog.store.reroling import upgraded
from catalog.store.staging import sole_ingest
from catalog.store.upgrading import ensure_catalog

__all__ = ["IngestOutcome", "IngestRequest", "ingest"]


def ingest(request: IngestRequest, progress: Progress) -> IngestOutcome:
    """Bring one checkpoint into the catalog, through all the stages asked for.

    Stages that these need come first. A stage that was finished is left as it is unless it is asked
    for by name with `request.force`; one that was interrupted is carried on.

    Raises:
        CheckpointError, NotFoundError: the checkpoint cannot be read, or its norms are not those
            that its family names.
        AliasTaken, DatabaseError: the catalog cannot take it.
        UsageError: options that do not go together, an alias that nobody could type, a stage that
            a mixture of experts cannot have.
        EnvironmentFault: no network, space, permission, device or cluster.
    """
    with (
        open_engine(request.engine, progress) as engine,
        sole_ingest(request.catalog),
        explaining_staged(request.catalog.file, progress),
    ):
        device = engine.device(request.device)
        _ensure_current(request, progress)
        checkpoint = open_checkpoint(
            request.source, request.revision, request.file, request.tokenizer
        )
        _note_passed_over(checkpoint, progress)
        if any(stage_named(name).of_corpus for name in request.stages):
            require_runnable(checkpoint)
        weights = NeuronVectors(checkpoint, request.weights)
        model_id, entry = enter_model(request, weights, progress)
        context = StageContext(
            weights=weights,
            device=device,
            top_tokens=request.top_tokens,
            catalog=request.catalog,
            alias=entry.alias,
            exemplars=request.exemplars,
            dtype=pick_dtype(request.dtype, device),
            checkpoint_every_s=request.checkpoint_every_s,
            corpus=_corpus(request, weights, model_id, progress),
        )
        runs = EntryRuns(request.catalog, model_id, entry, engine, progress)
        stages = [stage_class(name).of(context) for name in with_needed(request.stages)]
        redone = request.stages if request.force else ()
        to_come = [each for each in stages if runs.is_to_come(each, redo=each.name in redone)]
        announce_size(request.catalog.file, entry.alias, to_come, progress)
        to_come.clear()
        outcomes = []
        while stages:
            outcomes.append(runs.run(stages[0], redo=stages[0].name in redone))
            del stages[0]  # with the matrices that it holds
            if outcomes[-1].stage == "weights" and outcomes[-1].status != "unchanged":
                runs.drop_fallen()
        if request.place is not None and "weights" in {each.stage for each in outcomes}:
            drift = SeriesDrift(runs, weights, device)
            drift.run(request.place.last_step, redo="weights" in redone)
        runs.say_outdated(outcomes)
        if context.corpus is not None:
            forget_corpus(context.corpus)
    return IngestOutcome(entry.alias, tuple(outcomes))


def _ensure_current(request: IngestRequest, progress: Progress) -> None:
    try:
        ensure_catalog(request.catalog)
    except SchemaOutdated:
        if not progress.confirm(f"{request.catalog} is of an older schema. Upgrade it now?"):
            raise
        upgraded(request.catalog)


def _note_passed_over(checkpoint: Checkpoint, progress: Progress) -> None:
    """Say that GGUF files beside the safetensors are not read."""
    path = checkpoint.tensors.path
    beside = gguf_checkpoints(path) if path.is_dir() else []
    if beside:
        progress.note(
            f"{checkpoint.source}: safetensors are read, not {', '.join(beside)} beside them;",
            "choose one of those with ",
            Option("file"),
            ".",
        )


def _corpus(
    request: IngestRequest, weights: NeuronVectors, model_id: int, progress: Progress
) -> EnteredCorpus | None:
    """The corpus asked for, where a stage asked for is about one."""
    if request.corpus is None or not any(stage_named(name).of_corpus for name in request.stages):
        return None
    return enter_corpus(
        request.catalog, request.corpus, request.corpus_name, weights, model_id, progress
    )
