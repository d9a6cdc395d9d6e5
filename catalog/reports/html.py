"""A report as HTML: no style attributes, everything escaped, shades as one of 21 classes."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Final

from catalog.errors import Option, in_python
from catalog.formats.glyphs import UNICODE
from catalog.reports.blocks import (
    SHOWN_PER_CASE,
    Block,
    Case,
    Cases,
    Cell,
    Heading,
    Line,
    NeuronSpan,
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
from catalog.reports.colours import CLASS_COLOURS, POST_COLOURS

SHADES: Final = 10
"""Shades of either sign: the classes are shade-n10 to shade-p10, and shade-0 for none."""


def class_name(io_class: str) -> str:
    """The CSS class that gives something the colour of an IO class; plain for unknown ones."""
    return f"io-{io_class.replace(' ', '-')}" if io_class in CLASS_COLOURS else "io-none"


def _style_file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


STYLESHEET: Final = _style_file("report.css") + "\n".join(
    [
        *(
            f".report .shade-{sign}{n} {{ background: rgb({colour} / {100 * n // SHADES}%); }}"
            for sign, colour in POST_COLOURS.items()
            for n in range(1, SHADES + 1)
        ),
        *(
            f".{class_name(io_class)}::before {{ background: {colour}; }}\n"
            f".neuron.{class_name(io_class)} {{ border-color: {colour}; }}"
            for io_class, colour in CLASS_COLOURS.items()
        ),
        "",
    ]
)
"""What a page that shows reports needs: all its rules are of things within `.report`."""

_TRACK: Final = 200
_BASIS_LABELS: Final = {"unembed": "W_U", "embed": "W_E"}


@dataclass(frozen=True)
class Surroundings:
    """What a page has around a report: the level of its title, and where things lead to.

    `token_address`, `neuron_address`: where tokens and neurons lead; without it, nowhere.
    `option`: what an option is called here, and the address that chooses it, if there is one.
    """

    title_tag: str = "h2"
    token_address: Callable[[str], str] | None = None
    neuron_address: Callable[[str], str] | None = None
    option: Callable[[Option], tuple[str, str | None]] = lambda option: (in_python(option), None)


ALONE: Final = Surroundings()


def fragment(blocks: Iterable[Block], around: Surroundings = ALONE) -> str:
    """Blocks as a piece of a page that has the stylesheet."""
    return f'<div class="report">{"".join(_rendered(block, around) for block in blocks)}</div>'


def standing_alone(blocks: Iterable[Block]) -> str:
    """Blocks with the stylesheet, for a notebook."""
    return f"<style>{STYLESHEET}</style>{fragment(blocks)}"


def document(blocks: Iterable[Block], title: str, above: str = "") -> str:
    """Blocks as a whole page in one file, which asks nobody for anything and runs nothing.

    `above`: HTML that stands over them.
    """
    return page(above + fragment(blocks, Surroundings("h1")), title)


def page(body: str, title: str) -> str:
    """HTML as a whole page in one file that has the stylesheet, its hash in the page's policy."""
    style = _style_file("document.css") + STYLESHEET
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escaped(title)}</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _rendered(block: Block, around: Surroundings) -> str:
    match block:
        case Heading(text):
            return f"<h3>{escaped(text)}</h3>"
        case Line(spans, is_title):
            tag = around.title_tag if is_title else "p"
            return f"<{tag}>{''.join(_words(span, around) for span in spans)}</{tag}>"
        case Rulers():
            return _rulers(block)
        case TokenLists():
            return _token_lists(block, around)
        case ShadedText():
            return f"<p>{_shaded(block, around)}</p>"
        case Cases(cases):
            return f'<div class="cases">{"".join(_case(case, around) for case in cases)}</div>'
        case Table(columns, rows):
            return table(columns, ((_cell(cell, around) for cell in row) for row in rows))


def _words(span: Span | TokenSpan | Option, around: Surroundings) -> str:
    if isinstance(span, Option):
        words, address = around.option(span)
        code = f"<code>{escape(words)}</code>"
        return code if address is None else f'<a href="{escape(address)}">{code}</a>'
    if isinstance(span, TokenSpan):
        return _token(span.text, around)
    if span.io_class is not None:
        tag = "b" if span.bold else "span"
        named = f"io-class {class_name(span.io_class)}"
        return f'<{tag} class="{named}">{escaped(span.text)}</{tag}>'
    return f"<b>{escaped(span.text)}</b>" if span.bold else escaped(span.text)


def escaped(said: str) -> str:
    """A text as HTML, its invisible and control characters made visible."""
    return escape(UNICODE.running(said))


def _rulers(block: Rulers) -> str:
    rows = "".join(map(_ruler, block.rulers))
    chance = (
        "<caption>this neuron, and the range, middle half and median of its layer, "
        f"from -1 to +1; random vectors exceed {block.chance:.3f} once in 1,000</caption>"
    )
    return f'<table class="rulers">{chance}{rows}</table>'


def _ruler(ruler: Ruler) -> str:
    head = f'<tr><th scope="row">{escaped(ruler.label)}</th>'
    if ruler.value is None:
        return f'{head}<td class="number">NULL</td></tr>'
    lowest, q1, median, q3, highest = ruler.quartiles
    marks = (
        _bar("zero", 0.0, 0.0, 4),
        _bar("range", lowest, highest, 1),
        _bar("box", q1, q3, 6),
        _bar("median", median, median, 8),
        _bar("own", ruler.value, ruler.value, 12),
    )
    said = f"layer: {lowest:+.3f} to {highest:+.3f}, quartiles {q1:+.3f} {median:+.3f} {q3:+.3f}"
    picture = (
        f'<svg class="ruler" width="{_TRACK}" height="12" viewBox="0 0 {_TRACK} 12" role="img" '
        f'preserveAspectRatio="none"><title>{said}</title>{"".join(marks)}</svg>'
    )
    below = f"{100 * (ruler.share_below or 0.0):.1f}% below"
    return (
        f'{head}<td class="number">{ruler.value:+.4f}</td><td class="number">{below}</td>'
        f'<td class="track">{picture}</td></tr>'
    )


_FILLS: Final = {
    "zero": "#999999",
    "range": "#999999",
    "box": "#bbbbbb",
    "median": "#222222",
    "own": "#d55e00",
}


def _bar(name: str, low: float, high: float, height: int) -> str:
    left, right = ((max(-1.0, min(1.0, value)) + 1) / 2 * _TRACK for value in (low, high))
    width = max(right - left, 1.0 if name == "zero" else 2.0)
    return (
        f'<rect class="{name}" x="{min(left, _TRACK - width):.1f}" y="{6 - height / 2:g}" '
        f'width="{width:.1f}" height="{height}" fill="{_FILLS[name]}"/>'
    )


def _token_lists(block: TokenLists, around: Surroundings) -> str:
    rows = (
        f'<tr><th scope="row">w_{each.vector} {_bases(each)} {each.sign}</th>'
        f"<td>{' '.join(_token(token, around) for token in each.tokens)}</td></tr>"
        for each in block.lists
        if each.tokens
    )
    return f'<table class="tokens">{"".join(rows)}</table>'


def _bases(each: TokenList) -> str:
    return ", ".join(_BASIS_LABELS[basis] for basis in (each.basis, each.also) if basis)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML, which scrolls where it is wider than the page."""
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    listed = f'<table class="listed"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide">{listed}</div>'


def _cell(cell: Cell, around: Surroundings) -> str:
    match cell:
        case str():
            return escaped(cell)
        case NeuronSpan(text, neuron_id) if around.neuron_address is not None:
            return f'<a href="{escape(around.neuron_address(neuron_id))}">{escaped(text)}</a>'
        case NeuronSpan(text, _):
            return escaped(text)
    return _words(cell, around)


def _token(token: str, around: Surroundings) -> str:
    code = f"<code>{escape(UNICODE.visible(token))}</code>"
    if around.token_address is None:
        return code
    return f'<a href="{escape(around.token_address(token))}">{code}</a>'


def _case(case: Case, around: Surroundings) -> str:
    n_shown = 0 if case.is_faint else SHOWN_PER_CASE
    first, more = case.exemplars[:n_shown], case.exemplars[n_shown:]
    hidden = (
        f"<details><summary>{len(more)} more</summary>{_list(more, around)}</details>"
        if more
        else ""
    )
    said = f"<p><b>{escaped(case.name)}</b> {escaped(case.said)}</p>"
    return f'<div class="case">{said}{_list(first, around)}{hidden}</div>'


def _list(texts: tuple[ShadedText, ...], around: Surroundings) -> str:
    items = "".join(f"<li>{_shaded(text, around)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def _shaded(block: ShadedText, around: Surroundings) -> str:
    label = f'<span class="label">{escaped(block.label)}</span>' if block.label else ""
    return "".join([label, *map(_piece, block.pieces), *_following(block, around)])


def _piece(piece: Piece) -> str:
    shade = round(piece.strength * SHADES)
    name = f"shade-{'p' if piece.direction > 0 else 'n'}{shade}" if shade else "shade-0"
    tag = "mark" if piece.is_peak else "span"
    said = "expert not asked" if piece.post is None else f"{piece.post:+.3g}"
    return f'<{tag} class="{name}" title="{said}">{escaped(piece.text)}</{tag}>'


def _following(block: ShadedText, around: Surroundings) -> Iterator[str]:
    if block.following is not None:
        yield f" → {_token(block.following, around)}"
    elif block.ends_document:
        yield " → <i>end of document</i>"
