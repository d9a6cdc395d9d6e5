"""The library: open a catalog, ask it anything, look at a neuron; the command line is a skin of it.

Nothing stays open between two calls, so a notebook never keeps an ingest from writing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.api.asking import Asking
from catalog.api.neurons import Neurons
from catalog.api.upkeep import Upkeep
from catalog.store.handle import Handle
from catalog.store.limits import Limits as Limits
from catalog.store.location import DEFAULT_WAIT_S, as_location
from catalog.store.remembered import Remembered as Remembered

if TYPE_CHECKING:
    from catalog.ingest.ablation.request import AblateOutcome, AblateRequest
    from catalog.ingest.progress import Progress
    from catalog.ingest.request import IngestOutcome, IngestRequest
    from catalog.queries.records import NeuronRecord as NeuronRecord
    from catalog.store.combining import Combined


class Catalog(Asking, Neurons, Upkeep):
    """A catalog, a file or a lake; made by `catalog.open`.

    Every method raises NotFoundError for a model, neuron, corpus or query that is not there, and
    DatabaseError where the file cannot be used; the message says what there is.
    """


def open(  # noqa: A001  the name that users expect
    path: str | Path = "catalog.duckdb", wait_s: float = DEFAULT_WAIT_S
) -> Catalog:
    """Open a catalog for reading.

    Args:
        path: the DuckDB file, or a lake: the folder or URL of a `catalog export`.
        wait_s: how long each query waits for an ingest that is writing, in seconds.

    Raises:
        DatabaseMissing, SchemaOutdated, SchemaTooNew, DatabaseCorrupt: it cannot be read.
    """
    handle = Handle(as_location(path), wait_s)
    with handle.reading():
        return Catalog(handle)


def at(path: str | Path, wait_s: float = DEFAULT_WAIT_S) -> Catalog:
    """A catalog that need not be there yet, or may be of an older version; nothing is opened."""
    return Catalog(Handle(as_location(path), wait_s))


def ingest(request: "IngestRequest", progress: "Progress") -> "IngestOutcome":
    """Bring one checkpoint into a catalog, through all the stages asked for.

    Raises:
        CheckpointError, CorpusError: it cannot be ingested.
        DatabaseError: the catalog cannot take it.
    """
    from catalog.ingest.driver import ingest as run

    return run(request, progress)


def ablate(request: "AblateRequest", progress: "Progress") -> "AblateOutcome":
    """Ablate neurons of an entry, compare with the clean pass, and keep the effects.

    Raises:
        UsageError, NotFoundError, SqlError: a subset, baseline or corpus that cannot be had.
        CheckpointError, CorpusError: the model or the corpus cannot be read.
    """
    from catalog.ingest.ablation.ablating import ablate as run

    return run(request, progress)


def merge(sources: Sequence[Path], target: Path, wait_s: float = DEFAULT_WAIT_S) -> "Combined":
    """Make a new catalog file of several; the same entry in several becomes one.

    Raises:
        MergeConflict: they state different things of an entry; all of it is named.
    """
    from catalog.queries.records import NeuronRecord as NeuronRecord
    from catalog.store.combining import merge as run

    return run(sources, target, wait_s)
