"""The folder that chosen neurons are written to: whole or not at all, over nobody's files."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from catalog.errors import Option, UsageError
from catalog.queries.conditions import ChosenNeurons
from catalog.store.handle import Handle
from catalog.store.lake.source import SourceRows
from catalog.store.location import Location
from catalog.store.whole_files import explaining_writes, written_whole

MANY: Final = 5_000
"""Neurons that nobody exports one by one unasked."""


def as_folder(target: Location, what: str, names: re.Pattern[str], *, force: bool) -> Path:
    """The folder to be made: it is not there, is empty, or holds `what` and may be replaced.

    `names`: of all that stands in such a folder.

    Raises:
        UsageError: it is a URL or a file, holds something else, or holds `what` without `force`.
    """
    if not isinstance(target, Path):
        raise UsageError(f"{what.capitalize()} is written on this machine's disk, not to {target}.")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file, and {what} is a folder. Name another.")
    with explaining_writes(target):
        there = sorted(each.name for each in target.iterdir()) if target.is_dir() else []
    others = [name for name in there if not names.fullmatch(name)]
    if others:
        raise UsageError(
            f"{target} holds {others[0]!r}, which is not of {what}. Name an empty folder, or one "
            "that is not there."
        )
    if there and not force:
        raise UsageError(
            f"{target} holds {what} already.",
            "Name another folder, or write it anew with ",
            Option("force"),
            ".",
        )
    return target.resolve()


def require_few(chosen: ChosenNeurons, said: str, *, yes: bool) -> None:
    """Refuse more than MANY neurons that were not said to be wanted; `said`: what they make."""
    n = len(chosen.neurons)
    if n > MANY and not yes:
        raise UsageError(
            f"{n:,} neurons of {chosen.model.model} are chosen, which makes {said}.",
            "Choose fewer with ",
            Option("where"),
            ", or go on with ",
            Option("yes"),
            ".",
        )


@contextmanager
def filled(catalog: Handle, chosen: ChosenNeurons, folder: Path) -> Iterator[Path]:
    """A folder to write to, which takes its place when the block ends well.

    Raises:
        DatabaseError: the model changed meanwhile; nothing was written.
        EnvironmentFault: the folder cannot be written.
    """
    with (
        explaining_writes(folder),
        written_whole(folder, folder=True) as unfinished,
        SourceRows(catalog).unchanged(chosen.model.model),
    ):
        yield unfinished
