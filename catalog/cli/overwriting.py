"""What `--output` may overwrite: nothing, or what an earlier command wrote there.

A file is overwritten without `--force` if it is empty, or has the ending and begins as files of the
format do that is written now. A catalog never is. What a lake holds, logs and locks are other
programs' business and need `--force` even where they look right, or are not there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from catalog.errors import Option, UsageError
from catalog.formats import ENDINGS

_HEAD_BYTES: Final = 4096
_OF_A_CATALOG: Final = (".wal", ".lock")
"""Endings of files beside a catalog; one made up would be taken for its log."""


def _is_text(head: bytes) -> bool:
    """Whether it is UTF-8 (cut anywhere) without control characters but white space."""
    text = head.decode("utf-8", "ignore")
    return len(head) - len(text.encode()) < 4 and all(c >= " " or c in "\t\n\r" for c in text)


_BEGINS: Final[dict[str, Callable[[bytes], bool]]] = {
    "json": lambda head: _is_text(head) and head.startswith(b"["),
    "jsonl": lambda head: _is_text(head) and head.startswith(b"{"),
    "markdown": lambda head: _is_text(head) and head.startswith(b"|"),
    "parquet": lambda head: head.startswith(b"PAR1"),
    "pdf": lambda head: head.startswith(b"%PDF"),
    "png": lambda head: head.startswith(b"\x89PNG"),
    "svg": lambda head: _is_text(head) and head.startswith((b"<?xml", b"<svg")),
}
"""How files of a format begin; those of others are any text."""


def require_overwritable(target: Path, format_name: str, *, force: bool) -> None:
    """Refuse an output that would take the place of a file of another kind.

    Raises:
        UsageError: it would; the message says what is there.
    """
    head = b""
    if target.exists():
        with target.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    if head[8:12] == b"DUCK":
        raise UsageError(
            f"{target} is a DuckDB database and is not overwritten.",
            "Name another ",
            Option("output"),
            ".",
        )
    if force:
        return
    ending = target.suffix.lower()
    if ending in _OF_A_CATALOG:
        raise _refused(f"{target} would be taken for what belongs to a catalog")
    if target.exists() and (lake := _lake_around(target)):
        raise _refused(f"{target} belongs to the lake {lake}")
    is_of_format = ENDINGS.get(ending.lstrip("."), ending.lstrip(".")) == format_name
    if head and not (is_of_format and _BEGINS.get(format_name, _is_text)(head)):
        raise _refused(f"{target} is there already, and is no {format_name} file of that ending")


def _lake_around(target: Path) -> Path | None:
    """The lake in whose folder a file lies: `lake.json`, or `VIEW/model=ALIAS/part` below it."""
    from catalog.store.lake.manifest import MANIFEST

    return next((each for each in target.parents[:3] if (each / MANIFEST).exists()), None)


def _refused(what: str) -> UsageError:
    return UsageError(
        f"{what}; it is not overwritten.",
        "Name another ",
        Option("output"),
        ", or overwrite it with ",
        Option("force"),
        ".",
    )
