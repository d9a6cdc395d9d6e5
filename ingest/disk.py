"""What an ingest says of the disk: the room that its rows will take, and what is left staged."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from catalog.errors import Declined
from catalog.ingest.progress import Progress
from catalog.ingest.stages.stage import Runnable
from catalog.store.new_files import megabytes
from catalog.store.staging import left_staged, staging_root


def announce_size(
    catalog: Path, alias: str, stages: Sequence[Runnable], progress: Progress
) -> None:
    """Say what the rows of stages to come will take, and ask where that is more than is free.

    Raises:
        Declined: the answer is no.
    """
    n_bytes = sum(stage.n_bytes for stage in stages)
    if not n_bytes:
        return
    free = shutil.disk_usage(staging_root(catalog).parent).free
    progress.note(
        f"{alias}: {', '.join(stage.name for stage in stages)} will take about "
        f"{megabytes(n_bytes)} in {catalog}, and up to as much in {staging_root(catalog)} until "
        f"they are loaded; {megabytes(free)} are free"
    )
    if 2 * n_bytes > free and not progress.confirm("That may not be enough. Go on?"):
        raise Declined(f"Not started: {catalog.parent} has {megabytes(free)} free.")


@contextmanager
def explaining_staged(catalog: Path, progress: Progress) -> Iterator[None]:
    """Say what the staging folder is for where the block finds one, or leaves one that it made."""
    found = left_staged(catalog)
    _explain(catalog, found, progress)
    try:
        yield
    except BaseException:
        _explain(catalog, left_staged(catalog), progress)
        raise
    left = left_staged(catalog)
    if left != found:
        _explain(catalog, left, progress)


def _explain(catalog: Path, held: Sequence[str], progress: Progress) -> None:
    if not held:
        return
    root = staging_root(catalog)
    n_bytes = 0
    for file in root.rglob("*"):
        with suppress(OSError):  # it may go meanwhile
            n_bytes += file.stat().st_size if file.is_file() else 0
    progress.note(
        f"{root} holds {megabytes(n_bytes)} of what was computed and is not loaded yet: "
        f"{', '.join(held)}. The command that began it carries on from there; if it is not wanted, "
        "the folder can be deleted."
    )
