"""What DuckDB's errors are about: many have no class of their own and are known by their text."""

from enum import Enum, auto
from typing import Final

import duckdb


class Fault(Enum):
    """What an error of DuckDB says of the file or the machine."""

    TAKEN = auto()
    MISSING = auto()
    NO_SPACE = auto()
    NO_PERMISSION = auto()
    TOO_MANY_FILES = auto()
    NO_MEMORY = auto()
    DAMAGED = auto()


TEXTS: Final = (
    ("Could not set lock", Fault.TAKEN),
    # The same file, opened otherwise within this process.
    ("with a different configuration", Fault.TAKEN),
    ("Unique file handle conflict", Fault.TAKEN),
    ("database does not exist", Fault.MISSING),
    ("No space left", Fault.NO_SPACE),
    ("File too large", Fault.NO_SPACE),
    ("Disk quota", Fault.NO_SPACE),
    ("could not write all bytes", Fault.NO_SPACE),
    ("Permission denied", Fault.NO_PERMISSION),
    ("Read-only file system", Fault.NO_PERMISSION),
    ("Too many open files", Fault.TOO_MANY_FILES),
    ("out of memory", Fault.NO_MEMORY),
    ("bad allocation", Fault.NO_MEMORY),
    ("not a valid DuckDB database", Fault.DAMAGED),
    ("Corrupt", Fault.DAMAGED),
    ("Could not read enough bytes", Fault.DAMAGED),
    ("Failed to load metadata pointer", Fault.DAMAGED),
)
"""Texts of DuckDB 1.5 and of the system, in any case of letters; the first that occurs decides."""

_DAMAGE: Final = (
    duckdb.SerializationException,
    duckdb.InternalException,
    duckdb.FatalException,
)


def fault_of(error: duckdb.Error) -> Fault | None:
    """What the error says of the file or the machine; None if it is about something else."""
    said = str(error).lower()
    for text, fault in TEXTS:
        if text.lower() in said:
            return fault
    return Fault.DAMAGED if isinstance(error, _DAMAGE) else None
