"""Texts whose tokens are shaded by a neuron's post."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.formats.numbers import meaningful
from catalog.queries.records import Exemplar
from catalog.reports.blocks import Line, Piece, ShadedText

if TYPE_CHECKING:
    from catalog.ingest.own_text import NeuronOnText


def shaded_exemplar(exemplar: Exemplar, strongest: float) -> ShadedText:
    """The window of an exemplar, its post before it, and what the document goes on with.

    `strongest`: the largest |post| of all the neuron's exemplars.
    """
    peak = exemplar.position - exemplar.window_start
    tokens, posts = exemplar.window_tokens, exemplar.window_post
    return ShadedText(
        shaded(exemplar.text, tokens, posts, peak, strongest),
        f"{meaningful(exemplar.post, 3, signed=True)} ",
        exemplar.next_token,
        exemplar.next_token is None,
    )


def on_own_text(neuron: str, on_text: "NeuronOnText") -> tuple[Line, ShadedText]:
    """A text of the user's own, each token shaded by the neuron's post there."""
    # Beside the start token, where many neurons are far beyond what they do in texts.
    later = range(min(on_text.text.n_start, len(on_text.post) - 1), len(on_text.post))
    strongest = max(later, key=lambda at: _magnitude(on_text.post[at]))
    said = f"{neuron} of {on_text.model}; the peak is marked, shades are shares of it"
    pieces = shaded(on_text.text.text, on_text.text.tokens, on_text.post, strongest)
    return Line.of(said), ShadedText(pieces)


def shaded(
    text: str,
    tokens: Sequence[str],
    posts: Sequence[float | None],
    peak: int,
    strongest: float | None = None,
) -> tuple[Piece, ...]:
    """The text in pieces, each with |post| as a share of `strongest`, by default its own."""
    if strongest is None:
        strongest = max(map(_magnitude, posts), default=0.0)
    return tuple(
        Piece(
            part.text,
            part.post,
            min(1.0, _magnitude(part.post) / strongest) if strongest else 0.0,
            part.is_peak,
        )
        for part in _parts(text, tokens, posts, peak)
    )


@dataclass
class _Part:
    text: str
    post: float | None
    is_peak: bool


def _magnitude(post: float | None) -> float:
    """|post|, 0 where the neuron's expert was not asked."""
    return 0.0 if post is None else abs(post)


def _parts(
    text: str, tokens: Sequence[str], posts: Sequence[float | None], peak: int
) -> Iterator[_Part]:
    """The tokens as they follow each other in `text`, without a gap.

    A character of several bytes may be split into several tokens, each of which stands for it: it
    is one part, with the post of largest magnitude.
    """
    part, end = None, 0
    for at, (token, post) in enumerate(zip(tokens, posts, strict=True)):
        overlap = next((n for n in range(len(token) + 1) if text.startswith(token, end - n)), 0)
        end += len(token) - overlap
        if part is not None and overlap:
            part.text += token[overlap:]
            part.post = max(part.post, post, key=_magnitude)
            part.is_peak |= at == peak
            continue
        if part is not None:
            yield part
        part = _Part(token, post, at == peak)
    if part is not None:
        yield part
