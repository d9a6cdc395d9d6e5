"""What a report is made of: plain values, which every skin renders in its own way."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from catalog.taxonomy import Basis, Sign, Vector


@dataclass(frozen=True)
class Span:
    """Words of a line, which may be marked as important."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Heading:
    """The title of what follows."""

    text: str


@dataclass(frozen=True)
class Line:
    """A line of text, folded where it is too long."""

    spans: tuple[Span, ...]
    is_title: bool = False

    @classmethod
    def of(cls, *spans: str | Span, is_title: bool = False) -> "Line":
        """A line of texts and spans."""
        whole = (Span(each) if isinstance(each, str) else each for each in spans)
        return cls(tuple(whole), is_title)


@dataclass(frozen=True)
class Ruler:
    """A value on a line from -1 to +1, among the values of its layer; NULL has no place."""

    label: str
    value: float | None
    lowest: float = 0.0
    q1: float = 0.0
    median: float = 0.0
    q3: float = 0.0
    highest: float = 0.0
    share_below: float | None = None


@dataclass(frozen=True)
class Rulers:
    """Some rulers below each other; `chance` is what random vectors exceed once in 1,000."""

    rulers: tuple[Ruler, ...]
    chance: float


@dataclass(frozen=True)
class TokenList:
    """The tokens that a vector points towards or away from, the most extreme first."""

    vector: Vector
    basis: Basis
    sign: Sign
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class TokenLists:
    """Lists below each other, of which a narrow page shows the beginnings."""

    lists: tuple[TokenList, ...]


@dataclass(frozen=True)
class Piece:
    """Characters that one token stands for, or several that share a character.

    `strength` is |post| as a share of the largest shown, in [0, 1].
    """

    text: str
    post: float
    strength: float
    is_peak: bool

    @property
    def direction(self) -> Literal[1, -1]:
        """The sign of post."""
        return 1 if self.post > 0 else -1


@dataclass(frozen=True)
class ShadedText:
    """A text whose tokens are shaded by post, the peak marked.

    `label` is what stands before it, `following` the token after the window (None: nothing is
    said), or the end of the document.
    """

    pieces: tuple[Piece, ...]
    label: str = ""
    following: str | None = None
    ends_document: bool = False


@dataclass(frozen=True)
class Exemplars:
    """Shaded texts below each other, set in."""

    texts: tuple[ShadedText, ...] = field(default_factory=tuple)


Block: TypeAlias = Heading | Line | Rulers | TokenLists | ShadedText | Exemplars
