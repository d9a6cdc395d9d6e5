"""Class counts that the paper's authors published, and how a catalog's agree with them.

Folded weights, threshold 0.5 (docs/paper.md): neurons per layer and IO class. The paper's twelve
models, whose neurons have a gate, by typicality too; classes without neurons are left out of their
file. Of the models without a gate, from the authors' later repository, those that generate text and
are published as checkpoints: 18 of 24, without BERT, T5 and an Othello player.
"""

from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

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


_PAPER: Final = "class_counts.csv"
_PLAIN: Final = "plain_class_counts.csv"

_OWNERS: Final = {"gpt2": "openai-community/", "distilgpt2": "distilbert/"}
"""Where the Hub keeps models now that were published without an owner."""


def published_counts() -> "pa.Table":
    """Columns model (Hub id), layer, io_class, atypical (NULL without a gate), neurons."""
    import pyarrow as pa

    tables = [_read(_PAPER), _read(_PLAIN)]
    return pa.concat_tables(tables, promote_options="default")


def paper_models() -> list[str]:
    """The Hub ids of the paper's models."""
    models: list[str] = _read(_PAPER)["model"].unique().to_pylist()
    return models


def _read(name: str) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv

    return csv.read_csv(pa.BufferReader((files(__name__) / name).read_bytes()))


def _published_as(source: str) -> str:
    """What a source was called when its counts were published."""
    owner, _, name = source.rpartition("/")
    return name if _OWNERS.get(name.split("-")[0]) == f"{owner}/" else source


def compare_with_published(catalog: Handle, model: str | None) -> PublishedComparison:
    """Class counts of an entry beside the published ones of the model it came from.

    Raises:
        NotFoundError: no such entry, or nothing was published of its source.
        UsageError: the entry does not hold folded weights, of which the figures are.
    """
    published = published_counts()
    with catalog.reading() as connection:
        entry = chosen_model(catalog, connection, model)
        known = published["model"].unique().to_pylist()
        source = _published_as(entry.source)
        if source not in known:
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
        parameters = {"model": entry.model, "source": source}
        rows = run_query(connection, sql_text("published"), parameters, catalog.location)
    differences = [row for row in rows.to_pylist() if row["difference"]]
    return PublishedComparison(
        rows.from_pylist(differences, rows.schema),
        rows.num_rows,
        sum(row["published"] for row in rows.to_pylist()),
        sum(abs(row["difference"]) for row in differences) // 2,
    )
