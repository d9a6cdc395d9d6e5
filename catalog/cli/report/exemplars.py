"""The activation section: four sign cases, each with statistics and shaded exemplars."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from catalog.cli.report.page import Page, counted
from catalog.queries.neuron_record import NeuronRecord, Row, SignCase

SHOWN_PER_CASE: Final = 3

# Diverging and colour-blind safe: orange for positive post, blue for negative, darker is stronger.
_SHADES: Final = {
    1: ("#fdd9b5", "#fdae6b", "#e6691a"),
    -1: ("#c6dbef", "#7fb3d9", "#2b7bba"),
}


def activations(record: NeuronRecord, page: Page) -> None:
    """Statistics and the strongest exemplars of every sign case."""
    if record.corpus is None:
        return
    corpus = record.corpus
    page.heading(
        f"Activations on {corpus['corpus']} "
        f"({counted(corpus['n_contexts'], 'context')}, {counted(corpus['n_tokens'], 'token')})"
    )
    for name, case in record.cases.items():
        _case(name, case, page)
    most = max((len(case.exemplars) for case in record.cases.values()), default=0)
    if most > SHOWN_PER_CASE:
        page.line(f"The first {SHOWN_PER_CASE} of up to {most} exemplars a case; --json has all.")


def _case(name: str, case: SignCase, page: Page) -> None:
    statistics = case.statistics
    label = name.replace("_", " ")
    if not statistics["frequency"]:
        page.line(Text.assemble((label, "bold"), "  never occurs"))
        return
    page.line(
        Text.assemble(
            (label, "bold"),
            f"  {_share(statistics['frequency'])} of positions, post mean "
            f"{statistics['mean_post']:+.3g}, extreme {statistics['extreme_post']:+.3g}",
        )
    )
    for exemplar in case.exemplars[:SHOWN_PER_CASE]:
        page.line(_exemplar(exemplar, page), indent=2)


def _exemplar(exemplar: Row, page: Page) -> Text:
    """post, then the window with its peak marked, then the next token."""
    peak = exemplar["position"] - exemplar["window_start"]
    text = Text(f"{exemplar['post']:+.2f} ")
    tokens, posts = exemplar["window_tokens"], exemplar["window_post"]
    text.append_text(shaded(exemplar["text"], tokens, posts, peak, page))
    following = exemplar["next_token"]
    after = "end of document" if following is None else page.visible(following)
    return text.append(f"  {page.glyphs.arrow} {after}", style="italic")


def shaded(text: str, tokens: Sequence[str], posts: Sequence[float], peak: int, page: Page) -> Text:
    """The text, each token shaded by its share of the largest |post|, the peak marked."""
    glyphs, line = page.glyphs, Text()
    strongest = max((abs(post) for post in posts), default=0.0)
    for piece in _pieces(text, tokens, posts, peak):
        shown = page.running(piece.text)
        if piece.is_peak:
            marked = f"{glyphs.opening}{shown}{glyphs.closing}"
            line.append(marked, style=f"bold {_style(1, piece.post)}")
        else:
            share = abs(piece.post) / strongest if strongest else 0
            line.append(shown, style=_style(share, piece.post))
    return line


@dataclass
class _Piece:
    """Characters that one token stands for, or several that share a character."""

    text: str
    post: float
    is_peak: bool


def _pieces(
    text: str, tokens: Sequence[str], posts: Sequence[float], peak: int
) -> Iterator[_Piece]:
    """The tokens as they follow each other in `text`, without a gap.

    A character of several bytes may be split into several tokens, each of which stands for it: it
    is one piece, with the post of largest magnitude.
    """
    piece, end = None, 0
    for at, (token, post) in enumerate(zip(tokens, posts, strict=True)):
        overlap = next((n for n in range(len(token) + 1) if text.startswith(token, end - n)), 0)
        end += len(token) - overlap
        if piece is not None and overlap:
            piece.text += token[overlap:]
            piece.post = max(piece.post, post, key=abs)
            piece.is_peak |= at == peak
            continue
        if piece is not None:
            yield piece
        piece = _Piece(token, post, at == peak)
    if piece is not None:
        yield piece


def _style(strength: float, post: float) -> str:
    if strength < 0.2:
        return ""
    shades = _SHADES[1 if post > 0 else -1]
    return f"black on {shades[min(int(strength * len(shades)), len(shades) - 1)]}"


def _share(frequency: float) -> str:
    return f"{100 * frequency:.3g}%"
