"""A report in a terminal: blocks on a Rich console, with the glyphs that it can show."""

import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from catalog.console import VisibleConsole
from catalog.errors import Option, command_line
from catalog.formats.glyphs import ASCII, UNICODE, Glyphs
from catalog.reports.blocks import (
    FAINT_SHARE,
    SHOWN_PER_CASE,
    Block,
    Cases,
    Heading,
    Line,
    Piece,
    Ruler,
    Rulers,
    ShadedText,
    Span,
    Table,
    TokenLists,
    TokenSpan,
)
from catalog.visible import beneath, visible

_BASIS_LABELS: Final = {"unembed": "W_U", "embed": "W_E"}

# Diverging and colour-blind safe: orange for positive post, blue for negative, darker is stronger.
_SHADES: Final = {
    1: ("#fdd9b5", "#fdae6b", "#e6691a"),
    -1: ("#c6dbef", "#7fb3d9", "#2b7bba"),
}
_FAINTEST: Final = 0.2


def printed(blocks: Iterable[Block], width: int = 80) -> str:
    """Blocks as plain text."""
    written = io.StringIO()
    console = Console(file=written, width=width, force_terminal=False, force_jupyter=False)
    Page(console, UNICODE).show(blocks)
    return written.getvalue()


@dataclass(frozen=True)
class Page:
    """Where a report is printed; `shows_all`: every exemplar, of faint cases too."""

    console: Console
    glyphs: Glyphs
    shows_all: bool = False

    @classmethod
    def standard_output(cls, *, shows_all: bool = False) -> "Page":
        """Standard output: coloured on a terminal, 80 columns wide when piped."""
        console = VisibleConsole(beneath(sys.stdout), soft_wrap=False)
        encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
        return cls(console, UNICODE if encoding.startswith("utf") else ASCII, shows_all)

    @property
    def width(self) -> int:
        """Columns of the page."""
        return self.console.width

    def show(self, blocks: Iterable[Block]) -> None:
        """Print blocks below each other."""
        for block in blocks:
            match block:
                case Heading(text):
                    self.heading(text)
                case Line(spans):
                    self.line(Text.assemble(*map(self._words, spans)))
                case Rulers():
                    self._rulers(block)
                case TokenLists():
                    self._token_lists(block)
                case ShadedText():
                    self.line(self._shaded(block))
                case Cases():
                    self._cases(block)
                case Table():
                    self._table(block)

    def line(self, text: Text | str = "", *, indent: int = 0) -> None:
        """Print a line, folded at the page's width with the same indent."""
        body = text if isinstance(text, Text) else Text(visible(text))
        for folded in body.wrap(self.console, max(20, self.width - indent)):
            folded.rstrip()
            self.console.print(Text(" " * indent).append_text(folded), no_wrap=True, crop=False)

    def heading(self, text: str) -> None:
        """Print a heading, after an empty line."""
        self.console.print()
        self.console.print(Text(visible(text), style="bold"))

    def _words(self, span: Span | TokenSpan | Option) -> tuple[str, str]:
        """Text and style of a part of a line."""
        match span:
            case Option():
                return visible(command_line(span)), ""
            case TokenSpan(text):
                return f"{self.glyphs.opening}{self.glyphs.visible(text)}{self.glyphs.closing}", ""
        return visible(span.text), "bold" if span.bold else ""

    def _rulers(self, block: Rulers) -> None:
        glyphs = self.glyphs
        track = max(20, min(self.width - 34, 81))
        scale = "-1" + "0".center(track - 4) + "+1"
        self.line(f"{'':16}{'value':>8} {'below':>7}  {scale}")
        for ruler in block.rulers:
            if ruler.value is None:
                self.line(f"{ruler.label:16}{'NULL':>8}")
                continue
            below = f"{100 * (ruler.share_below or 0.0):.1f}%"
            strip = self._strip(ruler, ruler.value, track)
            self.line(f"{ruler.label:16}{ruler.value:>+8.4f} {below:>7}  {strip}")
        self.line(
            f"{glyphs.own} this neuron, {glyphs.box} middle half, {glyphs.median} median, "
            f"{glyphs.whisker} range; random vectors exceed {block.chance:.3f} once in 1,000."
        )

    def _strip(self, ruler: Ruler, value: float, track: int) -> str:
        """The layer's distribution and the neuron's own value on a line from -1 to +1."""

        def column(at: float) -> int:
            return round((max(-1.0, min(1.0, at)) + 1) / 2 * (track - 1))

        lowest, q1, median, q3, highest = ruler.quartiles
        strip = [" "] * track
        for low, high, glyph in (
            (lowest, highest, self.glyphs.whisker),
            (q1, q3, self.glyphs.box),
            (median, median, self.glyphs.median),
            (value, value, self.glyphs.own),
        ):
            for at in range(column(low), column(high) + 1):
                strip[at] = glyph
        return "".join(strip).rstrip()

    def _token_lists(self, block: TokenLists) -> None:
        cut = False
        for each in block.lists:
            label = _BASIS_LABELS[each.basis] if each.also is None else "both"
            head = f"w_{each.vector:<5}{label} {each.sign}  "
            body, was_cut = self._fitted(list(map(self.glyphs.visible, each.tokens)), len(head))
            cut |= was_cut
            self.line(Text.assemble((head, "dim"), body))
        if cut:
            self.line(f"{self.glyphs.more} cut to the width; --json lists all.")
        if any(each.also is not None for each in block.lists):
            self.line("both: the lists in W_U, with which those in W_E mostly agree.")

    def _fitted(self, words: list[str], indent: int) -> tuple[Text, bool]:
        """As many words as fit on the rest of a line, and whether some did not."""
        text, room = Text(), self.width - indent - cell_len(self.glyphs.more) - 1
        for word in words:
            if cell_len(text.plain) + cell_len(word) + 2 > room:
                return text.append(self.glyphs.more, "dim"), True
            text.append(word).append("  ")
        return text, False

    def _table(self, block: Table) -> None:
        texts = (
            (cell if isinstance(cell, str) else cell.text for cell in row) for row in block.rows
        )
        shown = [list(map(self.glyphs.running, row)) for row in texts]
        columns = list(zip(block.columns, *shown, strict=True))
        widths = [max(map(cell_len, column)) for column in columns]
        for at, row in enumerate(zip(*columns, strict=True)):
            cells = zip(row, widths, strict=True)
            text = Text("  ".join(set_cell_size(*cell) for cell in cells), "" if at else "dim")
            if cell_len(text.plain) > self.width:
                text.truncate(self.width - cell_len(self.glyphs.more), overflow="crop")
                text.append(self.glyphs.more)
            text.rstrip()
            self.console.print(text, no_wrap=True, crop=False)

    def _cases(self, block: Cases) -> None:
        shown = None if self.shows_all else SHOWN_PER_CASE
        is_folded = False
        for case in block.cases:
            self.line(Text.assemble((visible(case.name), "bold"), f"  {visible(case.said)}"))
            if case.is_faint and case.exemplars and not self.shows_all:
                is_folded = True
                continue
            for exemplar in case.exemplars[:shown]:
                self.line(self._shaded(exemplar), indent=2)
        most = max((len(case.exemplars) for case in block.cases), default=0)
        parts = []
        if most > SHOWN_PER_CASE:
            parts.append(f"the first {SHOWN_PER_CASE} of up to {most} exemplars a case")
        if is_folded:
            parts.append(f"none where the extreme is below {FAINT_SHARE:.0%} of the neuron's")
        if parts and not self.shows_all:
            said = ", ".join(parts)
            self.line(f"{said[0].upper()}{said[1:]}; --all shows all.")

    def _shaded(self, block: ShadedText) -> Text:
        glyphs, line = self.glyphs, Text(visible(block.label))
        for piece in block.pieces:
            shown = glyphs.running(piece.text)
            if piece.is_peak:
                marked = f"{glyphs.opening}{shown}{glyphs.closing}"
                line.append(marked, style=f"bold {_style(piece)}")
            else:
                line.append(shown, style=_style(piece))
        if block.ends_document or block.following is not None:
            after = (
                "end of document" if block.following is None else glyphs.visible(block.following)
            )
            line.append(f"  {glyphs.arrow} {after}", style="italic")
        return line


def _style(piece: Piece) -> str:
    if piece.strength < _FAINTEST:
        return ""
    shades = _SHADES[piece.direction]
    return f"black on {shades[min(int(piece.strength * len(shades)), len(shades) - 1)]}"
