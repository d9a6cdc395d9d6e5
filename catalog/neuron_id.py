"""Neuron ids as people write them: `layer.neuron`, or `layer.eEXPERT.neuron`; all from 0."""

import re
from dataclasses import dataclass, replace

from catalog.errors import NotFoundError, UsageError
from catalog.layers import LayerSizes

_PATTERN = re.compile(r"(\d{1,9})\.(?:e(\d{1,9})\.)?(\d{1,9})", re.ASCII)


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


def _require(value: int, count: int, what: str, among: str) -> None:
    if value >= count:
        raise NotFoundError(
            f"There is no {what} {value} in {among}: {what}s go from 0 to {count - 1}."
        )
