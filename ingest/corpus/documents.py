"""A document, whatever it was read from, and what may be wrong with a record."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from catalog.errors import CorpusError, Option

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Document(NamedTuple):
    """A text and where it came from.

    `source_ref`: the record's `id` if it has one, else file and line or row (from 1).
    `repaired`: whether parts that are no valid Unicode were replaced by U+FFFD.
    """

    source_ref: str
    text: str
    repaired: bool


class Documents(NamedTuple):
    """A stream of documents, the name of its source, and what a user should know about it."""

    stream: Iterator[Document]
    source: str
    notes: list[str]


def decode(data: bytes) -> tuple[str, bool]:
    """Return the text of UTF-8 bytes without byte order mark, and whether some were invalid."""
    try:
        return data.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return data.decode("utf-8-sig", "replace"), True


def record_document(record: Mapping[str, object], field: str, place: str) -> Document:
    """Take the text (str, or bytes to decode; None is an empty one) and the id out of a record.

    Raises CorpusError where the field is missing, naming those there are, or holds no text.
    """
    if field not in record:
        raise missing_field(field, record, place)
    value = record[field]
    if value is None:
        value = ""
    text, repaired = decode(value) if isinstance(value, bytes) else (value, False)
    if not isinstance(text, str):
        raise CorpusError(f"{place}: the field {field!r} holds {type(text).__name__}, not text")
    if LONE_SURROGATE.search(text):
        text, repaired = storable(text), True
    name = None if field == "id" else record.get("id")
    if isinstance(name, bytes):
        name, _ = decode(name)
    return Document(place if name in (None, "") else storable(str(name)), text, repaired)


def storable(text: str) -> str:
    """Return the text with what is no valid Unicode (of a file's name, say) as U+FFFD."""
    return LONE_SURROGATE.sub(REPLACEMENT, text)


def missing_field(field: str, fields: Iterable[str], place: str) -> CorpusError:
    """Build the error for a record or table without the field of the text."""
    return CorpusError(
        f"{place} has no field {field!r}; it has: {', '.join(fields) or 'none'};",
        "choose one with ",
        Option("corpus_field"),
    )
