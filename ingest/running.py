"""One run of one stage: computed into staging, loaded, shown; or left as it is, which is said."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from catalog.errors import Option
from catalog.ingest.engines.engine import Engine
from catalog.ingest.loading import Load, load
from catalog.ingest.progress import Progress
from catalog.ingest.request import StageOutcome
from catalog.ingest.stages.finding import dependents
from catalog.ingest.stages.stage import Runnable
from catalog.ingest.versions import versions
from catalog.ingest.within import heard_by
from catalog.stages import RUN_KINDS, STAGES, stage_named
from catalog.store.dropping import drop_runs
from catalog.store.handle import Handle
from catalog.store.staging import Staging
from catalog.store.writing import (
    FinishedRun,
    ModelEntry,
    RunStart,
    finished_run,
    start_run,
    unfinished_run,
)


@dataclass(frozen=True)
class EntryRuns:
    """The runs of one entry of a catalog."""

    catalog: Handle
    model_id: int
    entry: ModelEntry
    engine: Engine
    progress: Progress

    def run(self, stage: Runnable, *, redo: bool) -> StageOutcome:
        """Bring the stage's rows into the catalog, unless they are there and not to be redone."""
        started = time.monotonic()
        start = self._start(stage)
        alias, key = self.entry.alias, _key(self.entry, start)
        with self.catalog.writing() as connection:
            interrupted = unfinished_run(connection, self.model_id, start, stage.corpus_id)
            finished = finished_run(
                connection, self.model_id, stage.name, stage.corpus_id, stage.subject
            )
            if interrupted is None and finished is not None and not redo:
                self._say_unchanged(stage, start, finished)
                # A run that was killed between showing its rows and this left them staged.
                Staging.at(self.catalog.file, alias, _folder(stage), key).discard()
                return StageOutcome(stage.name, "unchanged", 0.0, {})
            run_id, n_done = interrupted or (
                start_run(connection, self.model_id, start, stage.corpus_id),
                0,
            )
        staging = Staging.of(self.catalog.file, alias, _folder(stage), key)
        if interrupted:
            self.progress.note(f"{alias}: {stage.title} was interrupted and is carried on")
        with heard_by(self.progress.within):
            notes = dict(stage.compute(staging, self.engine, self.progress))
        notes["compute_seconds"] = round(time.monotonic() - started, 3)
        work = Load(self.catalog, staging, stage, self.model_id, run_id, start.n_units)
        load(work, n_done, notes, self.progress)
        staging.discard()
        status = "resumed" if interrupted else "finished"
        return StageOutcome(stage.name, status, time.monotonic() - started, notes)

    def is_to_come(self, stage: Runnable, *, redo: bool) -> bool:
        """Whether `run` would compute the stage, or carry on with it."""
        if redo:
            return True
        start = self._start(stage)
        with self.catalog.tables("") as connection:
            asked = self.model_id, stage.name, stage.corpus_id, stage.subject
            return (
                finished_run(connection, *asked) is None
                or unfinished_run(connection, self.model_id, start, stage.corpus_id) is not None
            )

    def drop_fallen(self) -> None:
        """Drop, and name, what was computed from weights that have been redone."""
        falling = [each.name for each in RUN_KINDS if each.falls_with_weights]
        with self.catalog.tables("") as connection:
            there = connection.execute(
                "select stage, count(*) from ingest_run where model_id = $1 "
                "and list_contains($2, stage) group by stage order by stage",
                [self.model_id, falling],
            ).fetchall()
        if there:
            named = ", ".join(f"{stage} ({n} runs)" if n > 1 else stage for stage, n in there)
            self.progress.note(
                f"{self.entry.alias}: its weights were redone, so what was computed from those "
                f"before is dropped: {named}"
            )
            drop_runs(self.catalog, self.model_id, [stage for stage, _ in there])

    def say_outdated(self, outcomes: Sequence[StageOutcome]) -> None:
        """Name finished stages that read replaced rows, or that an older version computed.

        Those among `outcomes` have been spoken of already.
        """
        redone = {each.stage for each in outcomes if each.status != "unchanged"}
        reading = {other for stage in redone for other in dependents(stage)} - redone
        asked = {each.stage for each in outcomes}
        for stage in STAGES:
            with self.catalog.tables("") as connection:
                finished = finished_run(connection, self.model_id, stage.name, None)
            if finished is None:
                continue
            if stage.name in reading:
                self._offer(stage.name, "was computed from rows that have been redone now")
            elif stage.name not in asked and finished.stage_version < stage.version:
                self._offer(stage.name, _older(finished, stage.version))

    def _start(self, stage: Runnable) -> RunStart:
        declared = stage_named(stage.name)
        return RunStart(
            stage=stage.name,
            device=stage.device.type,
            dtype=stage.dtype,
            parameters=stage.parameters,
            versions=versions(),
            n_units=stage.n_parts or self.entry.n_layers,
            stage_version=declared.version,
            subject=stage.subject,
            sample_code=declared.sample_code,
        )

    def _say_unchanged(self, stage: Runnable, start: RunStart, finished: FinishedRun) -> None:
        if finished.stage_version < start.stage_version:
            self._offer(stage.name, _older(finished, start.stage_version))
            return
        asked, there = dict(start.parameters), finished.parameters
        differing = sorted(name for name in asked if asked[name] != there.get(name))
        how = ", ".join(f"{name} {there.get(name)} instead of {asked[name]}" for name in differing)
        self.progress.note(
            f"{self.entry.alias}: {stage.title} was finished on {_day(finished)}"
            f"{' with ' + how if how else ''}, nothing to do;",
            Option("force"),
            " redoes it",
        )

    def _offer(self, stage: str, why: str) -> None:
        self.progress.note(
            f"{self.entry.alias}: {stage} {why};",
            "redo it with ",
            Option("stages", stage),
            " ",
            Option("force"),
        )


def _folder(stage: Runnable) -> str:
    """The folder of what is staged, which several results of a stage do not share."""
    return stage.name if stage.subject is None else f"{stage.name}-{stage.subject}"


def _older(finished: FinishedRun, version: int) -> str:
    return (
        f"was finished on {_day(finished)} by version {finished.stage_version} of the stage, "
        f"which is at version {version} now and gives other rows"
    )


def _day(finished: FinishedRun) -> str:
    return f"{finished.finished_at:%Y-%m-%d %H:%M} UTC"


def _key(entry: ModelEntry, start: RunStart) -> str:
    """Names everything that staged rows depend on."""
    depends = {"fingerprint": entry.fingerprint, "weights": entry.weights, **vars(start)}
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
