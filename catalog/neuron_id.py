"""Neuron ids as people write them: `layer.neuron`, both from 0."""

import re
from dataclasses import dataclass

from catalog.errors import UsageError

_PATTERN = re.compile(r"(\d{1,9})\.(\d{1,9})", re.ASCII)


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
