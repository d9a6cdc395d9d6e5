"""Neuron ids as people write them, `layer.neuron` or `layer.eEXPERT.neuron`, all from 0; lists."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from catalog.errors import NotFoundError, UsageError
from catalog.layers import LayerSizes

_PATTERN = re.compile(r"(\d{1,9})\.(?:e(\d{1,9})\.)?(\d{1,9})", re.ASCII)
_LAYERS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
_MOST_LISTED = 10_000
LONGEST_LIST = 4_000_000
"""Characters of a list of neurons; no more need be read of what may have no end."""


@dataclass(frozen=True, order=True)
class NeuronId:
    """One MLP neuron of a model, e.g. `28.4737`.

    With an `expert`, `neuron` is counted within it: `12.e5.88`. `resolved` counts it through the
    layer, as every table does.
    """

    layer: int
    neuron: int
    expert: int | None = None

    @classmethod
    def parse(cls, text: str) -> "NeuronId":
        """Read `28.4737` or `12.e5.88`.

        Raises:
            UsageError: if `text` is anything else.
        """
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"{text!r} is not a neuron id. Write layer.neuron, both whole numbers from 0, "
                "for example 28.4737, or layer.eEXPERT.neuron, for example 12.e5.88."
            )
        expert = None if match[2] is None else int(match[2])
        return cls(int(match[1]), int(match[3]), expert)

    def resolved(self, sizes: LayerSizes, model: str) -> "NeuronId":
        """The same neuron counted through its layer; `model` is what to call the model.

        Raises:
            NotFoundError: the model has no such layer, expert or neuron.
        """
        _require(self.layer, sizes.n_layers, "layer", model)
        if self.expert is None:
            n = sizes.of_layer(self.layer)
            among = f"layer {self.layer} of {model}" if sizes.n_experts else model
            _require(self.neuron, n, "neuron", among)
            return self
        if sizes.is_dense(self.layer):
            among = f"layer {self.layer} of {model}" if sizes.n_experts else model
            raise NotFoundError(
                f"There is no expert {self.expert} in {among}, which has no experts: write "
                f"layer.neuron, for example {self.layer}.0."
            )
        among = f"layer {self.layer} of {model}"
        _require(self.expert, sizes.last_expert + 1, "expert", among)
        _require(
            self.neuron, sizes.of_expert(self.expert), "neuron", f"expert {self.expert} of {among}"
        )
        return NeuronId(self.layer, self.expert * sizes.d_expert + self.neuron)

    def in_expert(self, sizes: LayerSizes) -> "NeuronId":
        """The same neuron counted within its expert, if it belongs to one."""
        expert = sizes.expert_of(self.layer, self.neuron)
        if expert is None or self.expert is not None:
            return self
        return replace(self, neuron=self.neuron - expert * sizes.d_expert, expert=expert)

    def __str__(self) -> str:
        expert = "" if self.expert is None else f"e{self.expert}."
        return f"{self.layer}.{expert}{self.neuron}"


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
        return cls(model.strip() if colon else None, NeuronId.parse(neuron))

    def model_or(self, asked: str | None) -> str | None:
        """The model that it names, or else the one asked for.

        Raises:
            UsageError: these are two.
        """
        if self.model is not None and asked not in (None, self.model):
            raise UsageError(f"{self} is of {self.model}, and the model asked for is {asked}.")
        return asked if self.model is None else self.model

    def __str__(self) -> str:
        return f"{self.model}:{self.id}" if self.model is not None else str(self.id)


def listed_neurons(text: str) -> list[str]:
    """The neurons of a file, one a line; empty lines and those that begin with `#` say nothing.

    Raises:
        UsageError: a line is no neuron, or there is none, or more than a list may have.
    """
    if len(text) > LONGEST_LIST:
        raise UsageError(f"A list of neurons has at most {LONGEST_LIST:,} characters.")
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


def _require(value: int, count: int, what: str, among: str) -> None:
    if value >= count:
        raise NotFoundError(
            f"There is no {what} {value} in {among}: {what}s go from 0 to {count - 1}."
        )
