"""Neuron ids as people write them: `layer.neuron`, both from 0; layers, and lists of neurons."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from catalog.errors import UsageError

_PATTERN = re.compile(r"(\d{1,9})\.(\d{1,9})", re.ASCII)
_LAYERS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
_MOST_LISTED = 10_000


@dataclass(frozen=True, order=True)
class NeuronId:
    """One MLP neuron of a model, e.g. `28.4737`."""

    layer: int
    neuron: int

    @classmethod
    def parse(cls, text: str) -> "NeuronId":
        """Read `28.4737`.

        Raises:
            UsageError: if `text` is anything but two whole numbers joined by a dot.
        """
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"{text!r} is not a neuron id. Write layer.neuron, both whole numbers from 0, "
                "for example 28.4737."
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.layer}.{self.neuron}"


@dataclass(frozen=True)
class NamedNeuron:
    """A neuron of a model that may be left open, written `model:28.4737` or `28.4737`."""

    model: str | None
    id: NeuronId

    @classmethod
    def parse(cls, text: str) -> "NamedNeuron":
        """Read `model:28.4737`; an alias may hold colons.

        Raises:
            UsageError: what follows the last colon is no neuron id.
        """
        model, colon, neuron = text.strip().rpartition(":")
        return cls(model if colon else None, NeuronId.parse(neuron))

    def __str__(self) -> str:
        return f"{self.model}:{self.id}" if self.model is not None else str(self.id)


def listed_neurons(text: str) -> list[str]:
    """The neurons of a file, one a line; empty lines and those that begin with `#` say nothing.

    Raises:
        UsageError: a line is no neuron, or there is none, or more than a list may have.
    """
    named: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            named[str(NamedNeuron.parse(line))] = None
        except UsageError as error:
            raise UsageError(f"Line {number}: {error.said}") from error
    if not 0 < len(named) <= _MOST_LISTED:
        raise UsageError(
            f"The list names {len(named):,} neurons; it must name some, at most {_MOST_LISTED:,}, "
            "one a line, for example model:28.4737."
        )
    return list(named)


def parsed_layers(text: str) -> tuple[int, ...]:
    """The layers of `28`, of a range such as `28-31`, or of several, `0-3,28`; sorted.

    Raises:
        UsageError: it is none of these.
    """
    layers: set[int] = set()
    for part in text.split(","):
        match = _LAYERS.fullmatch(part.strip())
        if match is None:
            raise UsageError(
                f"layer is {text!r}; it must be a layer, or a range such as 28-31, or several of "
                "them with commas between."
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last or last - first > _MOST_LISTED:
            raise UsageError(f"layer is {text!r}, of which {part.strip()} is no range.")
        layers.update(range(first, last + 1))
    return tuple(sorted(layers))


def spelled_layers(layers: Iterable[int]) -> str:
    """Layers as `parsed_layers` reads them."""
    runs: list[list[int]] = []
    for layer in sorted(set(layers)):
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
