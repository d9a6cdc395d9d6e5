"""Takes a checkpoint through the stages: compute into staging, load, show."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy.special import betaincinv

from catalog.errors import SchemaOutdated, UsageError
from catalog.ingest.checkpoint import Checkpoint, gguf_checkpoints, open_checkpoint
from catalog.ingest.corpora import EnteredCorpus, enter_corpus, forget_corpus
from catalog.ingest.corpus import CorpusSpec
from catalog.ingest.device import pick_dtype
from catalog.ingest.engines.choosing import EngineChoice, open_engine
from catalog.ingest.engines.engine import Engine
from catalog.ingest.loading import Load, load
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.paths import user_path
from catalog.ingest.progress import Progress
from catalog.ingest.stages.registry import StageContext, build_stage, dependents, with_needed
from catalog.ingest.stages.stage import Stage
from catalog.ingest.versions import versions
from catalog.store.handle import Handle
from catalog.store.reroling import upgraded
from catalog.store.staging import Staging, sole_ingest
from catalog.store.upgrading import ensure_catalog
from catalog.store.writing import (
    FinishedRun,
    ModelEntry,
    RunStart,
    finished_run,
    known_entry,
    register_model,
    start_run,
    unfinished_run,
)
from catalog.tables import default_stages, stage_named
from catalog.taxonomy import WeightKind


@dataclass(frozen=True)
class IngestRequest:
    """What to ingest, and how; defaults are those of the command line."""

    catalog: Handle
    source: str
    alias: str | None = None
    revision: str | None = None
    file: str | None = None
    tokenizer: Path | None = None
    weights: WeightKind = "folded"
    stages: Sequence[str] = default_stages(with_corpus=False)
    top_tokens: int = 16
    exemplars: int = 16
    corpus: CorpusSpec | None = None
    corpus_name: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    engine: EngineChoice = field(default_factory=EngineChoice)
    checkpoint_every_s: float = 180.0
    force: bool = False


@dataclass(frozen=True)
class StageOutcome:
    """What became of a stage: `status` is 'finished', 'resumed' or 'unchanged'."""

    stage: str
    status: str
    seconds: float
    notes: dict[str, Any]


@dataclass(frozen=True)
class IngestOutcome:
    """What one `catalog ingest` of one model did."""

    alias: str
    outcomes: tuple[StageOutcome, ...]


def ingest(request: IngestRequest, progress: Progress) -> IngestOutcome:
    """Bring one checkpoint into the catalog, through all the stages asked for.

    Stages that these need come first. A stage that was finished is left as it is unless it is asked
    for by name with `request.force`; one that was interrupted is carried on.

    Raises:
        CheckpointError, NotFoundError: the checkpoint cannot be read, or its norms are not those
            that its family names.
        AliasTaken, DatabaseError: the catalog cannot take it.
        UsageError: options that do not go together, an alias that nobody could type.
        EnvironmentFault: no network, space, permission, device or cluster.
    """
    with (
        open_engine(request.engine, progress) as engine,
        sole_ingest(request.catalog),
    ):
        device = engine.device(request.device)
        _ensure_current(request, progress)
        checkpoint = open_checkpoint(
            request.source, request.revision, request.file, request.tokenizer
        )
        _note_passed_over(checkpoint, progress)
        weights = NeuronVectors(checkpoint, request.weights)
        model_id, entry = _enter(request, weights, progress)
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
        outcomes = tuple(
            _run_stage(request, entry, model_id, build_stage(name, context), engine, progress)
            for name in with_needed(request.stages)
        )
        _note_outdated(request, entry.alias, model_id, outcomes, progress)
        if context.corpus is not None:
            forget_corpus(context.corpus)
    return IngestOutcome(entry.alias, outcomes)


def default_alias(source: str, kind: WeightKind) -> str:
    """Last part of the source in lower case without `-hf`, plus the kind unless folded."""
    name = user_path(source).resolve().name if source != "demo" else source
    return name.lower().removesuffix(".gguf").removesuffix("-hf") + (
        "" if kind == "folded" else f"-{kind}"
    )


def chance_level(d_model: int, probability: float) -> float:
    """|cosine| that two random vectors exceed with this probability (DESIGN section 3).

    Their cosine follows beta((d-1)/2, (d-1)/2) stretched to [-1, 1].
    """
    half = (d_model - 1) / 2
    return float(2 * betaincinv(half, half, 1 - probability / 2) - 1)


def _ensure_current(request: IngestRequest, progress: Progress) -> None:
    try:
        ensure_catalog(request.catalog)
    except SchemaOutdated:
        if not progress.confirm(f"{request.catalog} is of an older schema. Upgrade it now?"):
            raise
        upgraded(request.catalog)


def _note_passed_over(checkpoint: Checkpoint, progress: Progress) -> None:
    """Say that GGUF files beside the safetensors are not read."""
    beside = [] if checkpoint.gguf_file else gguf_checkpoints(checkpoint.folder)
    if beside:
        progress.note(
            f"{checkpoint.source}: safetensors are read, not {', '.join(beside)} beside them; "
            "--file chooses one of those"
        )


def _enter(
    request: IngestRequest, weights: NeuronVectors, progress: Progress
) -> tuple[int, ModelEntry]:
    """Register the entry; norms are checked when its checkpoint is seen for the first time."""
    alias = request.alias
    if alias is None:
        alias = default_alias(weights.checkpoint.source, weights.kind)
    if not alias.strip() or not alias.isprintable():
        raise UsageError(f"The alias {alias!r} cannot be read. Give another one with --alias.")
    entry = ModelEntry(
        alias=alias,
        source=weights.checkpoint.source,
        revision=weights.checkpoint.revision,
        fingerprint=weights.checkpoint.fingerprint,
        family=weights.family.name,
        activation_fn=weights.activation_fn,
        n_layers=weights.n_layers,
        d_model=weights.d_model,
        d_mlp=weights.d_mlp,
        d_vocab=weights.d_vocab,
        weights=weights.kind,
        gated=weights.family.mlp.gated,
        quantization=weights.checkpoint.quantization,
        chance_95=chance_level(weights.d_model, 0.05),
        chance_999=chance_level(weights.d_model, 0.001),
    )
    with request.catalog.tables() as connection:
        seen = known_entry(connection, entry)
    if not seen and weights.kind != "raw":
        from catalog.ingest.norm_check import check_norms

        progress.note(f"{alias}: checking that {entry.family}'s norms are where its family says")
        check_norms(weights)
    with request.catalog.writing() as connection:
        return register_model(connection, entry), entry


def _corpus(
    request: IngestRequest, weights: NeuronVectors, model_id: int, progress: Progress
) -> EnteredCorpus | None:
    if "activations" not in request.stages or request.corpus is None:
        return None
    return enter_corpus(
        request.catalog,
        request.corpus,
        request.corpus_name,
        weights,
        model_id,
        progress,
    )


def _run_stage(
    request: IngestRequest,
    entry: ModelEntry,
    model_id: int,
    stage: Stage,
    engine: Engine,
    progress: Progress,
) -> StageOutcome:
    started = time.monotonic()
    start = RunStart(
        stage=stage.name,
        device=stage.device.type,
        dtype=stage.dtype,
        parameters=stage.parameters,
        versions=versions(),
        n_units=entry.n_layers,
        stage_version=stage_named(stage.name).version,
    )
    with request.catalog.writing() as connection:
        interrupted = unfinished_run(connection, model_id, start, stage.corpus_id)
        finished = finished_run(connection, model_id, stage.name, stage.corpus_id)
        forced = request.force and stage.name in request.stages
        if interrupted is None and finished is not None and not forced:
            progress.note(_unchanged(entry.alias, stage, finished))
            # A run that was killed between showing its rows and this left them staged.
            Staging.at(request.catalog.file, entry.alias, stage.name, _key(entry, start)).discard()
            return StageOutcome(stage.name, "unchanged", 0.0, {})
        run_id, n_done = interrupted or (start_run(connection, model_id, start, stage.corpus_id), 0)
    staging = Staging.of(request.catalog.file, entry.alias, stage.name, _key(entry, start))
    if interrupted:
        progress.note(f"{entry.alias}: {stage.name} was interrupted and is carried on")
    notes = dict(stage.compute(staging, engine, progress))
    notes["compute_seconds"] = round(time.monotonic() - started, 3)
    work = Load(request.catalog, staging, stage, model_id, run_id, entry.n_layers)
    load(work, n_done, notes, progress)
    staging.discard()
    status = "resumed" if interrupted else "finished"
    return StageOutcome(stage.name, status, time.monotonic() - started, notes)


def _note_outdated(
    request: IngestRequest,
    alias: str,
    model_id: int,
    outcomes: Sequence[StageOutcome],
    progress: Progress,
) -> None:
    """Name finished stages that read rows which have been replaced since."""
    redone = [each.stage for each in outcomes if each.status != "unchanged"]
    reading_them = {other for stage in redone for other in dependents(stage)} - set(redone)
    with request.catalog.writing() as connection:
        for stage in sorted(reading_them):
            if finished_run(connection, model_id, stage, None) is not None:
                progress.note(
                    f"{alias}: {stage} was computed from rows that have been redone now; redo it "
                    f"with --stages {stage} --force"
                )


def _unchanged(alias: str, stage: Stage, finished: FinishedRun) -> str:
    when = finished.finished_at.strftime("%Y-%m-%d %H:%M")
    asked, there = dict(stage.parameters), finished.parameters
    differing = sorted(name for name in asked if asked[name] != there.get(name))
    how = ", ".join(f"{name} {there.get(name)} instead of {asked[name]}" for name in differing)
    return (
        f"{alias}: {stage.name} was finished on {when} UTC{' with ' + how if how else ''}, "
        "nothing to do; --force redoes it"
    )


def _key(entry: ModelEntry, start: RunStart) -> str:
    """Names everything that staged rows depend on."""
    depends = {"fingerprint": entry.fingerprint, "weights": entry.weights, **vars(start)}
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
