"""A catalog file that appears whole: made under another name, synced to disk, then renamed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from catalog.errors import DatabaseError, EnvironmentFault
from catalog.store.whole_files import explaining_writes, written_whole

_ENDING: Final = ".unfinished"
_WAY_OUT: Final = "Nothing was changed; make room or allow it, then run the same command again."


@contextmanager
def appearing(target: Path, *, replacing: bool = False) -> Iterator[Path]:
    """A path beside `target` to make a catalog at, renamed to it when the block ends well.

    What a killed process left at that path is removed first, so the caller holds a lock.

    Raises:
        DatabaseError: `target` appeared meanwhile and is not to be replaced, or there is a file of
            somebody else at the path beside it.
        EnvironmentFault: the disk refused.
    """
    unfinished = unfinished_of(target)
    _refuse_others(unfinished)
    _remove(unfinished)
    try:
        with (
            explaining_writes(unfinished, _WAY_OUT),
            written_whole(target, unfinished=unfinished, synced=True),
        ):
            yield unfinished
            if log_of(unfinished).exists():
                raise EnvironmentFault(f"{unfinished} could not be completed. Run this again.")
            if replacing:
                shutil.copymode(target, unfinished)
            else:
                refuse_existing(target)
    except BaseException:
        _remove(unfinished)
        raise


def refuse_existing(target: Path) -> None:
    """Refuse a name at which a new catalog would meet something that is there.

    Raises:
        DatabaseError: a file, or the write-ahead log of one that has gone, is there.
        EnvironmentFault: its folder does not exist.
    """
    for taken in (target, log_of(target)):
        if taken.exists():
            raise DatabaseError(
                f"{taken} exists already, and only a new file is written. Name another one, or "
                "move it away first."
            )
    if not target.parent.is_dir():
        raise EnvironmentFault(f"The folder {target.parent} does not exist. Make it first.")


def require_space(folder: Path, n_bytes: int) -> None:
    """Refuse to begin what will not fit.

    Raises:
        EnvironmentFault: fewer than `n_bytes` are free; the message says how many are missing.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise EnvironmentFault(
            f"The new file needs about {megabytes(n_bytes)}, and {folder} has {megabytes(free)} "
            f"free: {megabytes(n_bytes - free)} are missing. Make room there; nothing was changed."
        )


def megabytes(n_bytes: int) -> str:
    """A size for people, in decimal megabytes."""
    return f"{n_bytes / 1e6:,.1f} MB"


def unfinished_of(target: Path) -> Path:
    """Where a catalog file is while it is made."""
    return target.with_name(target.name + _ENDING)


def log_of(path: Path) -> Path:
    """DuckDB's write-ahead log of a file."""
    return path.with_name(path.name + ".wal")


def spill_folder(path: Path) -> Path:
    """Where DuckDB puts what does not fit in memory while the file is made."""
    return path.with_name(path.name + ".tmp")


def _refuse_others(unfinished: Path) -> None:
    """Refuse to remove what no killed process left: neither empty nor a database."""
    if not unfinished.exists():
        return
    with explaining_writes(unfinished, _WAY_OUT):
        is_ours = unfinished.is_file()
        if is_ours:
            with unfinished.open("rb") as file:
                is_ours = file.read(12)[8:] in (b"", b"DUCK", bytes(4))
    if not is_ours:
        raise DatabaseError(f"{unfinished} is in the way and no catalog. Move it away first.")


def _remove(unfinished: Path) -> None:
    with explaining_writes(unfinished, _WAY_OUT):
        for path in (unfinished, log_of(unfinished)):
            path.unlink(missing_ok=True)
        shutil.rmtree(spill_folder(unfinished), ignore_errors=True)
