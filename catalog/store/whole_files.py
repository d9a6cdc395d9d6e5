"""Files that are there whole or not at all: written under another name, then renamed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from catalog.errors import EnvironmentFault, HintPart

UNFINISHED: Final = ".part"
"""Ending of a file that is being written."""


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A path beside `target` to write at, renamed to it when the block ends well, else removed."""
    unfinished = target.with_name(target.name + UNFINISHED)
    try:
        yield unfinished
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def explaining_writes(path: Path, *way_out: HintPart) -> Iterator[None]:
    """Turn the system's refusal into a sentence that names the path, and what to do.

    Raises:
        EnvironmentFault: no space, no permission, a read-only disk.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise EnvironmentFault(f"{path} could not be written: {reason}.", *way_out) from error
