"""Characters that a terminal obeys or hides, made visible; and the streams that do so.

Tokens, texts and aliases may come from strangers. What they say is shown on a terminal, never
obeyed: escape sequences, controls of the writing direction and invisible characters are spelled
out. Files and pipes keep the bytes.
"""

import codecs
import io
import json
import re
import sys
from typing import IO, Any, Final, TextIO

_IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default_Ignorable_Code_Point of Unicode: zero width, also where Python calls them printable."""

_HIDDEN: Final = re.compile(f"[{_IGNORABLE}]")
_LAYOUT: Final = "\n\t"
"""Control characters that a stream of text needs."""

_BAR: Final = re.compile(r"\r|\n*(?:\x1b\[A)+\Z")
"""How a bar of progress (tqdm's) begins what it writes; no message begins so, or is only that."""


def visible(text: str, keep: str = "") -> str:
    r"""`text` with all but printing characters, spaces and those of `keep` spelled out.

    The spelling is JSON's (`\u202e`, of higher planes a pair), but `\x1b` below U+0020, which
    stand in no JSON: so JSON on a terminal is the same JSON.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each if each in keep or (each.isprintable() and not _HIDDEN.match(each)) else _spelled(each)
        for each in text
    )


def _spelled(character: str) -> str:
    if character < " ":
        return character.encode("unicode_escape").decode()
    return json.dumps(character)[1:-1]


class VisibleText(io.TextIOBase):
    """A terminal's text stream that spells out what would be obeyed or hidden."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal
        self.buffer = VisibleBytes(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.terminal.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.terminal.errors

    def write(self, text: str) -> int:
        bar = _BAR.match(text)
        begun = bar.end() if bar else 0
        self.terminal.write(text[:begun] + visible(text[begun:], _LAYOUT))
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.terminal.isatty()

    def fileno(self) -> int:
        return self.terminal.fileno()

    def flush(self) -> None:
        self.terminal.flush()


class VisibleBytes(io.BufferedIOBase):
    """The same stream for UTF-8, as formats write it."""

    def __init__(self, text: VisibleText) -> None:
        self.text = text
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, utf8: Any) -> int:
        self.text.write(self._decoder.decode(bytes(utf8)))
        return len(utf8)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.text.isatty()

    def fileno(self) -> int:
        return self.text.fileno()

    def flush(self) -> None:
        self.text.flush()


def guard_terminals() -> None:
    """From now on standard output and error, where they are terminals, are such streams."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream.isatty() and not isinstance(stream, VisibleText):
            setattr(sys, name, VisibleText(stream))


def beneath(stream: TextIO) -> TextIO:
    """The terminal itself, for styles and cursors of our own around texts that are visible."""
    return stream.terminal if isinstance(stream, VisibleText) else stream


def write_drawn(stream: IO[bytes], text: str) -> None:
    """Write text whose cells are visible already, with escapes of our own if to a terminal."""
    if isinstance(stream, VisibleBytes):
        stream.text.terminal.write(text)
    else:
        stream.write(text.encode(errors="replace"))
