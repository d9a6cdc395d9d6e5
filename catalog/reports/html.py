"""A report as HTML: no style attributes, everything escaped, shades as one of 21 classes."""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from catalog.reports.blocks import (
    Block,
    Exemplars,
    Heading,
    Line,
    Piece,
    Ruler,
    Rulers,
    ShadedText,
    TokenLists,
)

SHADES: Final = 10
"""Shades of either sign: the classes are shade-n10 to shade-p10, and shade-0 for none."""

_TRACK: Final = 200
_BASIS_LABELS: Final = {"unembed": "W_U", "embed": "W_E"}


def fragment(blocks: Iterable[Block]) -> str:
    """Blocks as a piece of a page."""
    return f'<div class="report">{"".join(map(_rendered, blocks))}</div>'


def visible(text: str) -> str:
    """A text with its line ends, control and invisible characters made visible."""
    shown = text.replace("\n", "↵").replace("\t", "⇥")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def _rendered(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h3>{escape(text)}</h3>"
        case Line(spans, is_title):
            words = (f"<b>{escape(s.text)}</b>" if s.bold else escape(s.text) for s in spans)
            tag = "h2" if is_title else "p"
            return f"<{tag}>{''.join(words)}</{tag}>"
        case Rulers():
            return _rulers(block)
        case TokenLists():
            return _token_lists(block)
        case ShadedText():
            return f"<p>{_shaded(block)}</p>"
        case Exemplars(texts):
            return f"<ul>{''.join(f'<li>{_shaded(text)}</li>' for text in texts)}</ul>"


def _rulers(block: Rulers) -> str:
    rows = "".join(map(_ruler, block.rulers))
    chance = f"<caption>random vectors exceed {block.chance:.3f} once in 1,000</caption>"
    return f"<table>{chance}{rows}</table>"


def _ruler(ruler: Ruler) -> str:
    head = f"<tr><th>{escape(ruler.label)}</th>"
    if ruler.value is None:
        return f"{head}<td>NULL</td></tr>"
    marks = (
        _bar(ruler.lowest, ruler.highest, 1, "#999999"),
        _bar(ruler.q1, ruler.q3, 6, "#bbbbbb"),
        _bar(ruler.median, ruler.median, 8, "#222222"),
        _bar(ruler.value, ruler.value, 10, "#d55e00"),
    )
    picture = f'<svg width="{_TRACK}" height="12">{"".join(marks)}</svg>'
    below = f"{100 * (ruler.share_below or 0.0):.1f}% below"
    return f"{head}<td>{ruler.value:+.4f}</td><td>{below}</td><td>{picture}</td></tr>"


def _bar(low: float, high: float, height: int, colour: str) -> str:
    left, right = ((value + 1) / 2 * _TRACK for value in (low, high))
    width = max(right - left, 2.0)
    return (
        f'<rect x="{left:.1f}" y="{6 - height / 2:g}" width="{width:.1f}" height="{height}" '
        f'fill="{colour}"/>'
    )


def _token_lists(block: TokenLists) -> str:
    rows = (
        f"<tr><th>w_{each.vector} {_BASIS_LABELS[each.basis]} {each.sign}</th>"
        f"<td>{' '.join(map(_code, each.tokens))}</td></tr>"
        for each in block.lists
        if each.tokens
    )
    return f"<table>{''.join(rows)}</table>"


def _code(token: str) -> str:
    return f"<code>{escape(visible(token))}</code>"


def _shaded(block: ShadedText) -> str:
    return "".join([escape(block.label), *map(_piece, block.pieces), *_following(block)])


def _piece(piece: Piece) -> str:
    shade = round(piece.strength * SHADES)
    name = f"shade-{'p' if piece.direction > 0 else 'n'}{shade}" if shade else "shade-0"
    tag = "mark" if piece.is_peak else "span"
    text = escape(visible(piece.text))
    return f'<{tag} class="{name}" title="{piece.post:+.3g}">{text}</{tag}>'


def _following(block: ShadedText) -> Iterator[str]:
    if block.following is not None:
        yield f" → {_code(block.following)}"
    elif block.ends_document:
        yield " → <i>end of document</i>"
