"""Characters that reports are drawn with, and how they make white space visible."""

from dataclasses import dataclass

from catalog.visible import visible


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

    def visible(self, token: str) -> str:
        """A token with its white space and control characters made visible."""
        shown = token.replace("\n", self.newline).replace("\t", self.tab)
        bare = shown.strip(" ")
        start = len(shown) - len(shown.lstrip(" "))
        end = 0 if not bare else len(shown) - len(shown.rstrip(" "))
        return self.space * start + visible(bare) + self.space * end

    def running(self, text: str) -> str:
        """Running text with line ends and control characters made visible, spaces left alone."""
        return visible(text.replace("\n", self.newline).replace("\t", self.tab))


UNICODE = Glyphs("␣", "↵", "⇥", "…", "→", "─", "▒", "┃", "◆", "«", "»")
ASCII = Glyphs("_", "\\n", "\\t", "...", "->", "-", "=", "|", "#", "<<", ">>")
