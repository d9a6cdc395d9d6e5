"""The checkpoint that an entry of the catalog was made of, found again."""

from pathlib import Path
from typing import Protocol

from catalog.errors import CheckpointError, Option
from catalog.ingest.checkpoint.reader import Checkpoint
from catalog.ingest.checkpoint.source import open_checkpoint
from catalog.ingest.paths import is_there, user_path
from catalog.taxonomy import DEMO_MODELS


class Ingested(Protocol):
    """What an entry says of its checkpoint."""

    @property
    def model(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def fingerprint(self) -> str: ...


def checkpoint_of(
    entry: Ingested,
    tokenizer: Path | None = None,
    at: Path | None = None,
    *,
    may_download: bool = True,
) -> Checkpoint:
    """The entry's checkpoint, where it was or `at` another place, by its fingerprint the same.

    Raises:
        CheckpointError: it is gone, or another one.
        EnvironmentFault: it is not in the Hub's cache and cannot, or may not, be downloaded.
    """
    if at is not None:
        checkpoint = open_checkpoint(str(at.absolute()), tokenizer=tokenizer)
    else:
        _require_there(entry)
        checkpoint = open_checkpoint(
            entry.source, entry.revision, tokenizer=tokenizer, may_download=may_download
        )
    if checkpoint.fingerprint != entry.fingerprint:
        raise CheckpointError(
            f"{checkpoint.source} is not the checkpoint that was ingested as {entry.model}: its "
            "weights have changed, or are those of another model.",
            "Ingest it under another ",
            Option("alias"),
            ", or say where the one that was ingested lies now with ",
            Option("checkpoint", "PATH"),
            ".",
        )
    return checkpoint


def _require_there(entry: Ingested) -> None:
    """Refuse what was a folder or file, which no Hub id is: those have a revision."""
    known = entry.source in DEMO_MODELS or entry.revision is not None
    if known or is_there(user_path(entry.source)):
        return
    where = "" if entry.source.startswith(("/", "~")) else ", a path from the folder of its ingest,"
    raise CheckpointError(
        f"{entry.model} was ingested from {entry.source}{where} and that is not there.",
        "If it was moved, say where it lies now with ",
        Option("checkpoint", "PATH"),
        ".",
    )
