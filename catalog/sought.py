"""What neurons are looked for: the choices of `find`, declared once for Python and the pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from catalog.errors import UsageError
from catalog.taxonomy import (
    BASIS_CHOICES,
    CORPUS_ORDERS,
    FUNCTIONAL_ROLES,
    IO_CLASSES,
    LARGEST_INTEGER,
    ORDERS,
    SIGNS,
    TOKEN_ORDERS,
    VECTORS,
)
from catalog.token_sets import TOKEN_SETS

CHOICES: Final[dict[str, Sequence[str]]] = {
    "io_class": IO_CLASSES,
    "role": FUNCTIONAL_ROLES,
    "vector": VECTORS,
    "sign": SIGNS,
    "basis": BASIS_CHOICES,
    "order": (*ORDERS, *CORPUS_ORDERS, *TOKEN_ORDERS),
    "token_set": tuple(TOKEN_SETS),
}


@dataclass(frozen=True, kw_only=True)
class Sought:
    """What neurons are looked for; None leaves a choice open, several values mean any of them.

    Tokens are sought among the top tokens of the neuron's vectors: pieces that are a `token`, match
    `regex`, or are of a `token_set`.

    Args:
        model: the alias of an entry; all of them without it.
        io_class: an IO class at 0.5, or several.
        atypical: True for atypical neurons alone, False for typical ones.
        role: a functional role, or several.
        first_layer, last_layer: a range of layers; both or neither.
        layers: any of these layers.
        neurons: a list, `28.4737` or `model:28.4737` each, to which all else is confined.
        token: a piece of the vocabulary with its leading space, or several.
        regex: RE2's syntax, anywhere in the piece.
        token_set: a named set of pieces (digits, months, ...), or several.
        ignore_case: of tokens, sets and the regular expression.
        vector: whose top tokens: gate, in or out; any without it.
        sign: + for tokens that the vector points towards, - for those it points away from.
        basis: unembed (W_U), embed (W_E) or both.
        order: what comes first, the largest; skew and cosines by magnitude. Without it kurtosis, or
            with tokens the most of them, then the best rank. A quantity of a corpus gets a column.
        corpus: of an order that needs one; without it the largest.
        smallest: the smallest first.
        k: how many rows.
        skip: how many rows before them are left out.
        describes: a text in any of the neuron's descriptions, in capitals or not.

    Raises:
        UsageError: a choice that there is not; the message says which there are.
    """

    model: str | None = None
    io_class: str | Sequence[str] | None = None
    atypical: bool | None = None
    role: str | Sequence[str] | None = None
    first_layer: int | None = None
    last_layer: int | None = None
    layers: Sequence[int] = ()
    neurons: Sequence[str] | None = None
    token: str | Sequence[str] | None = None
    regex: str | None = None
    token_set: str | Sequence[str] | None = None
    ignore_case: bool = False
    vector: str | None = None
    sign: str | None = None
    basis: str = "unembed"
    order: str | None = None
    corpus: str | None = None
    smallest: bool = False
    k: int = 20
    skip: int = 0
    describes: str | None = None

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            for value in listed(getattr(self, name)):
                if value not in choices:
                    raise UsageError(f"{name} is {value!r}; there is: {', '.join(choices)}.")
        if self.describes is not None and not self.describes.strip():
            raise UsageError("describes is empty; it takes a text to look for in descriptions.")
        if self.order in TOKEN_ORDERS and not self.names_tokens:
            raise UsageError(f"order {self.order} is about tokens, and none is sought.")
        if self.corpus is not None and self.order not in CORPUS_ORDERS:
            there = ", ".join(CORPUS_ORDERS)
            raise UsageError(f"corpus goes with an order that needs one: {there}.")
        if self.k < 1:
            raise UsageError(f"k is {self.k}; it must be at least 1.")
        if not 0 <= self.skip <= LARGEST_INTEGER:
            raise UsageError(f"skip is {self.skip}; it must be 0 or more.")
        if self.ignore_case and not self.names_tokens:
            raise UsageError("ignore_case is about tokens, and none is sought.")

    @property
    def names_tokens(self) -> bool:
        """Whether tokens are sought."""
        return bool(listed(self.token) or self.regex is not None or listed(self.token_set))

    @property
    def chosen_layers(self) -> list[int]:
        """The layers sought, sorted; none where all are."""
        between: Sequence[int] = ()
        if self.first_layer is not None and self.last_layer is not None:
            between = range(self.first_layer, self.last_layer + 1)
        return sorted({*between, *self.layers})

    @property
    def tokens(self) -> list[str]:
        """The pieces sought as they are."""
        return listed(self.token)

    @property
    def pattern(self) -> str | None:
        """One regular expression for `regex` and the sets, None without them."""
        patterns = [TOKEN_SETS[name] for name in listed(self.token_set)]
        patterns += [] if self.regex is None else [self.regex]
        if not patterns:
            return None
        return ("(?i)" if self.ignore_case else "") + "|".join(f"(?:{each})" for each in patterns)


def listed(value: str | Sequence[str] | None) -> list[str]:
    """One value, several or none as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
