"""Files and folders that are there whole or not at all: made under another name, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from catalog.errors import EnvironmentFault, HintPart

UNFINISHED: Final = ".part"
"""Ending of a file that is being written."""

_LONGEST: Final = 150
"""Bytes of a name that stand in the unfinished file's; file systems take 255."""

_unfinished: set[Path] = set()


@contextmanager
def written_whole(
    target: Path, *, unfinished: Path | None = None, folder: bool = False, synced: bool = False
) -> Iterator[Path]:
    """A path beside `target` to write at, renamed to it when the block ends well, else removed.

    Nobody else has a file of that name, and none of the user's is touched, unless the caller names
    it as `unfinished`. `folder`: it is a folder, made empty; the one there before is replaced.
    `synced`: what was written is on the disk before it gets its name, and the name is before this
    returns.
    """
    if unfinished is None:
        named = f"{_stem(target)}{os.urandom(8).hex()}{UNFINISHED}"
        unfinished = target.with_name(named)
    _unfinished.add(unfinished)
    try:
        if folder:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        yield unfinished
        _put_in_place(unfinished, target, synced=synced)
    finally:
        remove(unfinished)
        _unfinished.discard(unfinished)


def remove_unfinished() -> None:
    """Remove what this process has begun to write and not finished, before it ends at once."""
    for unfinished in tuple(_unfinished):
        remove(unfinished)


def _stem(target: Path) -> str:
    return f".{target.name.encode(errors='surrogateescape')[:_LONGEST].decode(errors='ignore')}."


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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


def _put_in_place(unfinished: Path, target: Path, *, synced: bool) -> None:
    if synced:
        for path in sorted(unfinished.rglob("*")) if unfinished.is_dir() else [unfinished]:
            if path.is_file():
                _sync(path)
    if unfinished.is_dir():
        shutil.rmtree(target, ignore_errors=True)
    unfinished.replace(target)
    if synced and os.name == "posix":  # other systems open no folder, and keep names by themselves
        _sync(target.parent)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    # Some systems sync only what is open for writing.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
