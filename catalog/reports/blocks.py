"""What a report is made of: plain values, which every skin renders in its own way."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from catalog.errors import Option
from catalog.taxonomy import Basis, Sign, Vector

SHOWN_PER_CASE: Final = 3
"""So many exemplars of a sign case are shown before the reader asks for more."""

FAINT_SHARE: Final = 0.05
"""A sign case whose extreme is below this share of the neuron's is near noise."""


@dataclass(frozen=True)
class Span:
    """Words of a line, which may be marked as important, or as naming an IO class."""

    text: str
    bold: bool = False
    io_class: str | None = None


@dataclass(frozen=True)
class TokenSpan:
    """A token within a line, its white space made visible."""

    text: str


@dataclass(frozen=True)
class NeuronSpan:
    """Another neuron of the report's model: its id as it is printed, and as `layer.neuron`."""

    text: str
    neuron_id: str


@dataclass(frozen=True)
class Heading:
    """The title of what follows."""

    text: str


@dataclass(frozen=True)
class Line:
    """A line of text, folded where it is too long; each skin words its options."""

    spans: tuple[Span | TokenSpan | Option, ...]
    is_title: bool = False

    @classmethod
    def of(cls, *spans: str | Span | TokenSpan | Option, is_title: bool = False) -> "Line":
        """A line of texts, spans, tokens and options."""
        return cls(tuple(Span(s) if isinstance(s, str) else s for s in spans), is_title)


@dataclass(frozen=True)
class Ruler:
    """A value on a line from -1 to +1, among the values of its layer; NULL has no place.

    `quartiles`: lowest, first quartile, median, third quartile and highest of the layer.
    """

    label: str
    value: float | None
    quartiles: tuple[float, ...] = ()
    share_below: float | None = None


@dataclass(frozen=True)
class Rulers:
    """Some rulers below each other; `chance` is what random vectors exceed once in 1,000."""

    rulers: tuple[Ruler, ...]
    chance: float


@dataclass(frozen=True)
class TokenList:
    """The tokens that a vector points towards or away from, the most extreme first.

    `also`: another basis, whose list has mostly the same tokens and is not shown.
    """

    vector: Vector
    basis: Basis
    sign: Sign
    tokens: tuple[str, ...]
    also: Basis | None = None


@dataclass(frozen=True)
class TokenLists:
    """Lists below each other, of which a narrow page shows the beginnings."""

    lists: tuple[TokenList, ...]


@dataclass(frozen=True)
class Piece:
    """Characters that one token stands for, or several that share a character.

    `post` is None where the neuron's expert was not asked. `strength` is |post| as a share of the
    largest that is known of the neuron, in [0, 1].
    """

    text: str
    post: float | None
    strength: float
    is_peak: bool

    @property
    def direction(self) -> Literal[1, -1]:
        """The sign of post."""
        return -1 if self.post is not None and self.post <= 0 else 1


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
class Case:
    """A sign case: its name, what is said of it, and its exemplars, the strongest first.

    `is_faint`: its posts are near noise beside the neuron's, so its exemplars are folded away.
    """

    name: str
    said: str
    exemplars: tuple[ShadedText, ...] = ()
    is_faint: bool = False


@dataclass(frozen=True)
class Cases:
    """The sign cases of a neuron, the strongest first, below each other or side by side."""

    cases: tuple[Case, ...]


Cell: TypeAlias = str | Span | NeuronSpan


@dataclass(frozen=True)
class Table:
    """Rows below the names of their columns; a narrow page cuts the last column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


Block: TypeAlias = Heading | Line | Rulers | TokenLists | ShadedText | Cases | Table
