"""Every way the catalog can refuse, each with the exit code of the command line.

An error says what was asked and what there is, and hints at what to do. A hint names options and
commands as symbols, which each skin (command line, Python, web page) words in its own terms.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias


class ExitCode(IntEnum):
    """Exit codes of the `catalog` command, each with what `catalog --help` says of it."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "ExitCode":
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "done"
    INTERNAL = 1, "a fault of this program (run again with --debug and report it)"
    USAGE = 2, "wrong usage"
    NOT_FOUND = 3, "no such model, neuron, query or corpus"
    CHECKPOINT = 4, "the checkpoint or corpus cannot be ingested"
    SQL = 5, "the SQL is wrong or not allowed"
    DATABASE = (
        6,
        "the catalog file cannot be used (missing, locked, damaged, other version), or catalogs"
        " cannot be combined (conflicts, a name that is taken)",
    )
    ENVIRONMENT = 7, "the machine: no space, permission, network or device"
    MISMATCH = 8, "what was recomputed differs from what is stored, or nothing could be compared"
    INTERRUPTED = 130, "interrupted"


@dataclass(frozen=True)
class Option:
    """Something the user may choose, by its name in the library: `wait`, `corpus_name`."""

    name: str
    value: str | None = None


@dataclass(frozen=True)
class Command:
    """A command of the catalog that helps, with its arguments and options."""

    name: str
    arguments: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()


HintPart: TypeAlias = str | Option | Command


def command_line(part: HintPart) -> str:
    """A part of a hint as typed in a terminal: `--wait`, `catalog ingest demo`."""
    match part:
        case str():
            return part
        case Option(name, value):
            words = [f"--{name.replace('_', '-')}", *([] if value is None else [value])]
        case Command(name, arguments, options):
            words = ["catalog", name, *arguments]
            return " ".join([shlex.join(words), *map(command_line, options)])
    return shlex.join(words)


def in_python(part: HintPart) -> str:
    """A part of a hint in a Python session: `wait=`; commands are those of a terminal."""
    if isinstance(part, Option):
        return f"{part.name}={'' if part.value is None else repr(part.value)}"
    return command_line(part)


class CatalogError(Exception):
    """Base of all errors a user may meet.

    Args:
        said: what was asked and what there is: whole sentences.
        hint: what to do: text, options and commands, joined as they are.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(self, said: str, *hint: HintPart) -> None:
        super().__init__(said, *hint)
        self.said = said
        self.hint = hint

    def message(self, word: Callable[[HintPart], str]) -> str:
        """The whole message, its hint worded by a skin."""
        return " ".join(filter(None, [self.said, "".join(map(word, self.hint)).strip()]))

    def __str__(self) -> str:
        return self.message(in_python)


class UsageError(CatalogError):
    """Options or arguments that do not go together, or a malformed value."""

    exit_code = ExitCode.USAGE


class NotFoundError(CatalogError):
    """A model, neuron, query or corpus that the catalog does not hold."""

    exit_code = ExitCode.NOT_FOUND


class CheckpointError(CatalogError):
    """A checkpoint that is missing, damaged, or of a kind that cannot be ingested."""

    exit_code = ExitCode.CHECKPOINT


class CorpusError(CatalogError):
    """A corpus that is empty, unreadable, or does not fit the model."""

    exit_code = ExitCode.CHECKPOINT


class SqlError(CatalogError):
    """SQL that is wrong, or that `catalog sql` does not let through."""

    exit_code = ExitCode.SQL


class LimitReached(SqlError):
    """A query that was stopped: it took more time, memory or rows than it may have."""


class DatabaseError(CatalogError):
    """A catalog file that cannot be used as it is."""

    exit_code = ExitCode.DATABASE


class DatabaseMissing(DatabaseError):
    """There is no catalog at this path."""


class DatabaseLocked(DatabaseError):
    """Another process holds the file, and went on holding it."""


class DatabaseCorrupt(DatabaseError):
    """The file is not a DuckDB database, or a damaged one."""


class SchemaOutdated(DatabaseError):
    """The catalog was written by an older version and can be upgraded."""


class SchemaTooNew(DatabaseError):
    """The catalog was written by a newer version of this program."""


class AliasTaken(DatabaseError):
    """The alias belongs to another checkpoint or kind of weights."""


class MergeConflict(DatabaseError):
    """Catalogs that state different things of the same entry, so that they cannot become one."""


class EnvironmentFault(CatalogError):
    """The machine, not the input: no space, no permission, no network, no such device."""

    exit_code = ExitCode.ENVIRONMENT


class MismatchError(CatalogError):
    """What was recomputed differs from what is stored."""

    exit_code = ExitCode.MISMATCH


class Declined(CatalogError):
    """The user was asked and said no."""

    exit_code = ExitCode.INTERRUPTED


_NO_MEMORY: Final = (
    "not enough memory",
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "can't start new thread",
    "failed to map segment",
)


def ran_out_of_memory(raised: BaseException) -> bool:
    """Whether this says that an allocation failed.

    On the CPU torch says it in words alone, like the loader of modules; for a GPU it has a class,
    known here by its name, since torch is imported only where an ingest runs.
    """
    if isinstance(raised, MemoryError) or type(raised).__name__ == "OutOfMemoryError":
        return True
    said = str(raised).lower() if isinstance(raised, (RuntimeError, ImportError)) else ""
    return any(text in said for text in _NO_MEMORY)
