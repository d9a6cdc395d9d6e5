"""From the tokens of a document to contexts of the length that a model reads."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from catalog.ingest.corpus.encoding import Tokens


class Context(NamedTuple):
    """What a model reads at once.

    `text` is the slice of the document that the tokens stand for; offsets count its characters.
    The start token, if there is one, comes first and stands for no character: (0, 0).
    `next_token_id` is the document's token after the last one, None at the document's end.
    """

    source_ref: str
    text: str
    tokens: Tokens
    next_token_id: int | None


class Cutting(NamedTuple):
    """How contexts are cut: `length` in tokens, the start token included; None is no start token.

    `first_only` leaves out all contexts of a document after the first.
    """

    length: int
    start_token_id: int | None
    first_only: bool


def cut(source_ref: str, text: str, tokens: Tokens, cutting: Cutting) -> Iterator[Context]:
    """Yield the consecutive contexts of a document; from the second on, `#2` ends the reference.

    A start token that the text itself brings where a context begins is not repeated.
    """
    ids, start_id = tokens.ids, cutting.start_token_id
    room = cutting.length - (start_id is not None)
    number, first = 1, 0
    while True:
        while first < len(ids) and ids[first] == start_id:
            first += 1
        if first == len(ids) or (cutting.first_only and number > 1):
            return
        last = min(first + room, len(ids))
        part = tokens.part(first, last)
        below, above = int(part.starts.min()), int(part.ends.max())
        yield Context(
            source_ref if number == 1 else f"{source_ref}#{number}",
            text[below:above],
            started(Tokens(part.ids, part.starts - below, part.ends - below), start_id),
            int(ids[last]) if last < len(ids) else None,
        )
        number, first = number + 1, last


def started(tokens: Tokens, start_token_id: int | None) -> Tokens:
    """Put the start token, if there is one, in front."""
    if start_token_id is None:
        return tokens
    front = np.array([start_token_id], np.int32), np.zeros(1, np.int32), np.zeros(1, np.int32)
    return Tokens(*map(np.concatenate, zip(front, tokens, strict=True)))
