"""Stages whose parts are independent: computed by an engine, staged as they come."""

from collections.abc import Sequence
from typing import Protocol

from catalog.ingest.engines.engine import Engine, Part, PartsStage
from catalog.ingest.progress import Progress
from catalog.store.staging import Staging


class StagedParts(PartsStage, Protocol):
    """A stage with a name to show, that knows what its parts are staged as."""

    @property
    def name(self) -> str: ...

    def part_tables(self, part: Part) -> Sequence[str]:
        """The tables of which a part has rows."""
        ...


def stage_parts(
    stage: StagedParts,
    parts: Sequence[Part],
    staging: Staging,
    engine: Engine,
    progress: Progress,
) -> None:
    """Stage the parts of which some table is not there yet."""
    todo = [
        part
        for part in parts
        if not all(staging.has(part.layer, table, part.name) for table in stage.part_tables(part))
    ]
    progress.begin(stage.name, len(parts), len(parts) - len(todo))
    for part, tables in engine.parts(stage, todo):
        for table, rows in tables.items():
            staging.write(part.layer, table, rows, part.name)
        progress.advance()
    progress.end()
