"""Class counts that the paper's authors published, and how a catalog's agree with them.

Twelve models, folded weights, threshold 0.5 (docs/paper.md): neurons per layer, IO class and
typicality; combinations without neurons are left out of the file.
"""

from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from catalog.errors import NotFoundError, Option, UsageError
from catalog.queries.neuron_record import chosen_model
from catalog.queries.sql import sql_text
from catalog.store.handle import Handle
from catalog.store.reading import run_query

if TYPE_CHECKING:
    import pyarrow as pa


class PublishedComparison(NamedTuple):
    """Counts that differ, by layer, class and typicality; and what to say of all of them."""

    differences: "pa.Table"
    n_counts: int
    n_neurons: int
    n_moved: int


def published_counts() -> "pa.Table":
    """Columns model (Hub id), layer, io_class, atypical, neurons."""
    import pyarrow as pa
    from pyarrow import csv

    text = (files(__name__) / "class_counts.csv").read_bytes()
    return csv.read_csv(pa.BufferReader(text))


def published_models() -> list[str]:
    """The Hub ids of the paper's models."""
    models: list[str] = published_counts()["model"].unique().to_pylist()
    return models


def compare_with_published(catalog: Handle, model: str | None) -> PublishedComparison:
    """Class counts of an entry beside the published ones of the model it came from.

    Raises:
        NotFoundError: no such entry, or nothing was published of its source.
        UsageError: the entry does not hold folded weights, of which the figures are.
    """
    published = published_counts()
    with catalog.reading() as connection:
        entry = chosen_model(connection, catalog.location, model)
        known = published_models()
        if entry.source not in known:
            raise NotFoundError(
                f"Nothing was published of {entry.source}. There are figures of: "
                f"{', '.join(known)}."
            )
        if entry.weights != "folded":
            raise UsageError(
                f"{entry.model} holds {entry.weights} weights, the published figures are of "
                "folded ones.",
                "Ingest it with ",
                Option("weights", "folded"),
                ".",
            )
        connection.register("published", published)
        parameters = {"model": entry.model, "source": entry.source}
        rows = run_query(connection, sql_text("published"), parameters, catalog.location)
    differences = [row for row in rows.to_pylist() if row["difference"]]
    return PublishedComparison(
        rows.from_pylist(differences, rows.schema),
        rows.num_rows,
        sum(row["published"] for row in rows.to_pylist()),
        sum(abs(row["difference"]) for row in differences) // 2,
    )
