"""A report as HTML: no style attributes, everything escaped, shades as one of 21 classes."""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from catalog.errors import Option, in_python
from catalog.formats.glyphs import UNICODE
from catalog.reports.blocks import (
    SHOWN_PER_CASE,
    Block,
    Case,
    Cases,
    Heading,
    Line,
    Piece,
    Ruler,
    Rulers,
    ShadedText,
    Span,
    Table,
    TokenList,
    TokenLists,
    TokenSpan,
)

SHADES: Final = 10
"""Shades of either sign: the classes are shade-n10 to shade-p10, and shade-0 for none."""

_COLOURS: Final = {"p": "230 105 26", "n": "43 123 186"}
"""Red, green and blue of a positive and a negative post, laid thinly over any background."""

STYLESHEET: Final = "".join(
    [
        ".report mark { color: inherit; font-weight: bold; }",
        *(
            f".report .shade-{sign}{n} {{ background: rgb({colour} / {100 * n // SHADES}%); }}"
            for sign, colour in _COLOURS.items()
            for n in range(1, SHADES + 1)
        ),
    ]
)
"""What a page that shows reports needs in its one style element."""

_TRACK: Final = 200
_BASIS_LABELS: Final = {"unembed": "W_U", "embed": "W_E"}


def fragment(blocks: Iterable[Block]) -> str:
    """Blocks as a piece of a page that has the stylesheet."""
    return f'<div class="report">{"".join(map(_rendered, blocks))}</div>'


def standing_alone(blocks: Iterable[Block]) -> str:
    """Blocks with the stylesheet, for a notebook."""
    return f"<style>{STYLESHEET}</style>{fragment(blocks)}"


def _rendered(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h3>{_text(text)}</h3>"
        case Line(spans, is_title):
            tag = "h2" if is_title else "p"
            return f"<{tag}>{''.join(map(_words, spans))}</{tag}>"
        case Rulers():
            return _rulers(block)
        case TokenLists():
            return _token_lists(block)
        case ShadedText():
            return f"<p>{_shaded(block)}</p>"
        case Cases(cases):
            return "".join(map(_case, cases))
        case Table():
            return _table(block)


def _words(span: Span | TokenSpan | Option) -> str:
    if isinstance(span, Option):
        return f"<code>{escape(in_python(span))}</code>"
    if isinstance(span, TokenSpan):
        return _code(span.text)
    return f"<b>{_text(span.text)}</b>" if span.bold else _text(span.text)


def _text(text: str) -> str:
    return escape(UNICODE.running(text))


def _rulers(block: Rulers) -> str:
    rows = "".join(map(_ruler, block.rulers))
    chance = f"<caption>random vectors exceed {block.chance:.3f} once in 1,000</caption>"
    return f"<table>{chance}{rows}</table>"


def _ruler(ruler: Ruler) -> str:
    head = f"<tr><th>{_text(ruler.label)}</th>"
    if ruler.value is None:
        return f"{head}<td>NULL</td></tr>"
    lowest, q1, median, q3, highest = ruler.quartiles
    marks = (
        _bar(lowest, highest, 1, "#999999"),
        _bar(q1, q3, 6, "#bbbbbb"),
        _bar(median, median, 8, "#222222"),
        _bar(ruler.value, ruler.value, 10, "#d55e00"),
    )
    picture = f'<svg width="{_TRACK}" height="12">{"".join(marks)}</svg>'
    below = f"{100 * (ruler.share_below or 0.0):.1f}% below"
    return f"{head}<td>{ruler.value:+.4f}</td><td>{below}</td><td>{picture}</td></tr>"


def _bar(low: float, high: float, height: int, colour: str) -> str:
    left, right = ((max(-1.0, min(1.0, value)) + 1) / 2 * _TRACK for value in (low, high))
    width = max(right - left, 2.0)
    return (
        f'<rect x="{min(left, _TRACK - width):.1f}" y="{6 - height / 2:g}" width="{width:.1f}" '
        f'height="{height}" fill="{colour}"/>'
    )


def _token_lists(block: TokenLists) -> str:
    rows = (
        f"<tr><th>w_{each.vector} {_bases(each)} {each.sign}</th>"
        f"<td>{' '.join(map(_code, each.tokens))}</td></tr>"
        for each in block.lists
        if each.tokens
    )
    return f"<table>{''.join(rows)}</table>"


def _bases(each: TokenList) -> str:
    return ", ".join(_BASIS_LABELS[basis] for basis in (each.basis, each.also) if basis)


def _table(block: Table) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in block.columns)
    rows = ("".join(f"<td>{_text(cell)}</td>" for cell in row) for row in block.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _code(token: str) -> str:
    return f"<code>{escape(UNICODE.visible(token))}</code>"


def _case(case: Case) -> str:
    n_shown = 0 if case.is_faint else SHOWN_PER_CASE
    first, more = case.exemplars[:n_shown], case.exemplars[n_shown:]
    hidden = f"<details><summary>{len(more)} more</summary>{_list(more)}</details>" if more else ""
    said = f"<p><b>{_text(case.name)}</b> {_text(case.said)}</p>"
    return f'<div class="case">{said}{_list(first)}{hidden}</div>'


def _list(texts: tuple[ShadedText, ...]) -> str:
    items = "".join(f"<li>{_shaded(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def _shaded(block: ShadedText) -> str:
    return "".join([_text(block.label), *map(_piece, block.pieces), *_following(block)])


def _piece(piece: Piece) -> str:
    shade = round(piece.strength * SHADES)
    name = f"shade-{'p' if piece.direction > 0 else 'n'}{shade}" if shade else "shade-0"
    tag = "mark" if piece.is_peak else "span"
    return f'<{tag} class="{name}" title="{piece.post:+.3g}">{_text(piece.text)}</{tag}>'


def _following(block: ShadedText) -> Iterator[str]:
    if block.following is not None:
        yield f" → {_code(block.following)}"
    elif block.ends_document:
        yield " → <i>end of document</i>"
