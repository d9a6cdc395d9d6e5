"""Which stages a question needs and the catalog does not have yet, and how to ingest them."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from catalog.queries.sql import sql_text
from catalog.store.location import Location
from catalog.store.reading import run_for_dicts


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


def _command(stage: str, model: str, source: str, weights: str) -> str:
    words = ["catalog", "ingest", source, "--stages", stage]
    if model != source:
        words += ["--alias", model]
    if weights != "folded":
        words += ["--weights", weights]
    if stage == "activations" and source != "demo":
        words += ["--corpus", "CORPUS"]
    return shlex.join(words)
