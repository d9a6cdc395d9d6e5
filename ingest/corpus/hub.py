"""Documents of a Hub dataset, streamed with `datasets`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from catalog.errors import CatalogError, CorpusError, EnvironmentFault, Option
from catalog.ingest.corpus.documents import Document, Documents, missing_field, record_document

if TYPE_CHECKING:
    from datasets import IterableDataset


def open_hub(name: str, config: str | None, split: str, field: str) -> Documents:
    """Open a dataset by name, without downloading it.

    Raises CorpusError for an unknown dataset, configuration, split or field, or a gated dataset;
    EnvironmentFault without network.
    """
    from datasets import load_dataset

    try:
        dataset = load_dataset(name, config, split=split, streaming=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise hub_error(name, error) from error
    fields = dataset.column_names
    if fields is not None:
        if field not in fields:
            raise missing_field(field, fields, name)
        dataset = dataset.select_columns([name for name in fields if name in (field, "id")])
    source = " ".join(part for part in (name, config, split) if part)
    return Documents(hub_documents(dataset, name, split, field), source, [])


def hub_documents(
    dataset: "IterableDataset", name: str, split: str, field: str
) -> Iterator[Document]:
    """Yield one document per record; errors as `open_hub`."""
    try:
        for row, record in enumerate(dataset, 1):
            yield record_document(record, field, f"{split}:{row}")
    except (OSError, ValueError, RuntimeError) as error:
        raise hub_error(name, error) from error


def hub_error(name: str, error: Exception) -> CatalogError:
    """Tell what is wrong with the name of a dataset from what is wrong with the network."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        return EnvironmentFault(
            f"The dataset {name} cannot be read from the Hub: {lines[0]}.",
            "Check the network, or download it elsewhere and give its .jsonl or .parquet files as ",
            Option("corpus"),
            ".",
        )
    return CorpusError(
        f"The dataset {name} cannot be read (no local file or folder has this name either):"
        f" {' '.join(lines)}"
    )
