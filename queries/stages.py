"""Which stages a question needs and the catalog does not have yet, and how to ingest them."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from catalog.errors import Command, Option, command_line
from catalog.queries.sql import sql_text
from catalog.stages import ABLATION, DESCRIPTIONS, DRIFT, stage_named
from catalog.store.location import Location
from catalog.store.reading import run_for_dicts
from catalog.taxonomy import DEMO_MODELS


@dataclass(frozen=True)
class MissingStage:
    """A stage without a finished run, and a command that ingests it."""

    stage: str
    command: str


def missing_stages(
    connection: duckdb.DuckDBPyConnection, needs: Sequence[str], model: str | None, path: Location
) -> list[MissingStage]:
    """The stages among `needs` that `model`, or every model of the catalog, lacks."""
    parameters = {"needs": list(needs), "model": model}
    rows = run_for_dicts(connection, sql_text("missing_stages"), parameters, path)
    return [MissingStage(row["stage"], _command(**row)) for row in rows]


def series_command() -> str:
    """How a training series is ingested."""
    return command_line(Command("ingest", ("MODEL",), (Option("revisions", "GLOB"),)))


def _command(stage: str, model: str, source: str, weights: str) -> str:
    if stage == ABLATION.name:
        return command_line(Command("ablate", (model,), (Option("class", "CLASS"),)))
    if stage == DESCRIPTIONS.name:
        return command_line(Command("import", (stage, "FILE"), (Option("format", "FORMAT"),)))
    if stage == DRIFT.name:
        return series_command()
    options = [Option("stages", stage)]
    series, at, step = model.rpartition("@")
    if at:
        options += [Option("alias", series), Option("step", step)]
    elif model != source:
        options.append(Option("alias", model))
    if weights != "folded":
        options.append(Option("weights", weights))
    if stage_named(stage).of_corpus and source not in DEMO_MODELS:
        options.append(Option("corpus", "CORPUS"))
    return command_line(Command("ingest", (source,), tuple(options)))
