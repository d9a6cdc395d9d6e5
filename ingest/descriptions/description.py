"""One description of a neuron, as any format gives it."""

import math
from dataclasses import dataclass
from typing import Final

from catalog.taxonomy import PLAIN_SIGN_CASES, SIGN_CASES, SIGNS, sign_cases

ANY: Final = "any"
DESCRIBED_CASES: Final = (ANY, *SIGNS, *SIGN_CASES, *PLAIN_SIGN_CASES)
"""What a description may be about: the neuron, one sign of post, or a sign case."""

LONGEST_TEXT: Final = 20_000
"""Characters of a description; what is longer is no description of a neuron."""

LONGEST_NAME: Final = 1_000
"""Characters of the name of a model, an explainer, a scorer, a source or a key."""


def described_cases(*, gated: bool) -> tuple[str, ...]:
    """Those of DESCRIBED_CASES that a neuron with or without a gate has."""
    return (ANY, *SIGNS, *sign_cases(gated=gated))


@dataclass(frozen=True)
class Description:
    """What a file says of one neuron.

    `model` is the name that the file has for the model, None where it names none. `key` is the
    source's own for the description; without one its text is the key. With an `expert`, `neuron` is
    counted within it.
    """

    layer: int
    neuron: int
    text: str
    source: str
    model: str | None = None
    sign_case: str = ANY
    explainer: str | None = None
    scorer: str | None = None
    score: float | None = None
    key: str | None = None
    expert: int | None = None

    def __post_init__(self) -> None:
        if self.sign_case not in DESCRIBED_CASES:
            raise ValueError(
                f"sign_case is {str(self.sign_case)[:40]!r}; there is: {', '.join(DESCRIBED_CASES)}"
            )
        for name in ("model", "explainer", "scorer", "source", "key"):
            if (length := len(getattr(self, name) or "")) > LONGEST_NAME:
                raise ValueError(
                    f"{name} has {length:,} characters; at most {LONGEST_NAME:,} are read"
                )
        if len(self.text) > LONGEST_TEXT:
            raise ValueError(
                f"a description of {len(self.text):,} characters; at most {LONGEST_TEXT:,} are read"
            )
        if not self.text.strip():
            raise ValueError("an empty description")

    @property
    def source_key(self) -> str:
        """What tells it from others of its source on the neuron."""
        if self.key:
            return self.key
        import hashlib

        stated = "\0".join([self.explainer or "", self.scorer or "", self.text.strip()])
        return hashlib.sha256(stated.encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True)
class NotANeuron:
    """What a file describes that is no MLP neuron, as it names it."""

    name: str


def as_score(value: object) -> float | None:
    """A score as a number; None where there is none, or it is not finite.

    Raises:
        ValueError: it is something else.
    """
    if value is None or value == "":
        return None
    try:
        score = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"score is {str(value)[:40]!r}, which is no number") from None
    return score if math.isfinite(score) else None


def as_index(value: object, what: str) -> int:
    """A layer or a neuron, a whole number from 0, also as a text.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{what} is {text[:40]!r}, which is no whole number from 0")
    return int(text)


def as_text(value: object) -> str | None:
    """A text without what cannot be stored; None where there is none."""
    if value is None or value == "":
        return None
    return str(value).encode("utf-8", "replace").decode()
