"""What sections print on: a Rich console and the glyphs that it can show."""

import sys
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text


@dataclass(frozen=True)
class Glyphs:
    """Characters of the report; `ASCII` is for terminals without UTF-8."""

    space: str
    newline: str
    tab: str
    more: str
    arrow: str
    whisker: str
    box: str
    median: str
    own: str
    opening: str
    closing: str


UNICODE = Glyphs("␣", "↵", "⇥", "…", "→", "─", "▒", "┃", "◆", "«", "»")
ASCII = Glyphs("_", "\\n", "\\t", "...", "->", "-", "=", "|", "#", "<<", ">>")


@dataclass(frozen=True)
class Page:
    """Where a report is printed."""

    console: Console
    glyphs: Glyphs

    @classmethod
    def standard_output(cls) -> "Page":
        """Standard output: coloured on a terminal, 80 columns wide when piped."""
        console = Console(highlight=False, soft_wrap=False)
        encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
        return cls(console, UNICODE if encoding.startswith("utf") else ASCII)

    @property
    def width(self) -> int:
        """Columns of the page."""
        return self.console.width

    def line(self, text: Text | str = "", *, indent: int = 0) -> None:
        """Print a line, folded at the page's width with the same indent."""
        body = text if isinstance(text, Text) else Text(text)
        for folded in body.wrap(self.console, max(20, self.width - indent)):
            folded.rstrip()
            self.console.print(Text(" " * indent).append_text(folded), no_wrap=True, crop=False)

    def heading(self, text: str) -> None:
        """Print a heading, after an empty line."""
        self.console.print()
        self.console.print(Text(text, style="bold"))

    def visible(self, token: str) -> str:
        """A token with its white space and control characters made visible."""
        glyphs = self.glyphs
        shown = token.replace("\n", glyphs.newline).replace("\t", glyphs.tab)
        bare = shown.strip(" ")
        start = len(shown) - len(shown.lstrip(" "))
        end = 0 if not bare else len(shown) - len(shown.rstrip(" "))
        return glyphs.space * start + _printable(bare) + glyphs.space * end

    def running(self, text: str) -> str:
        """Running text with line ends and control characters made visible, spaces left alone."""
        glyphs = self.glyphs
        return _printable(text.replace("\n", glyphs.newline).replace("\t", glyphs.tab))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(n: int, noun: str) -> str:
    """A number of things: `1 context`, `2,186 contexts`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
