"""Experts of a sparse layer: where they and their router lie, and which layers have some."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from catalog.ingest.families.mlp import Mlp

_PLACE = "layers.{layer}.mlp"


def of_each(place: str = _PLACE, names: tuple[str, str, str] | None = None) -> Mlp:
    """Experts whose modules lie apart, under `place`; `names` are those of gate, up and down."""
    gate, up, down = names or ("gate_proj", "up_proj", "down_proj")
    expert = f"{place}.experts.{{expert}}"
    reads = {"gate": f"{expert}.{gate}", "in": f"{expert}.{up}"}
    return Mlp(reads, f"{expert}.{down}", expert)  # type: ignore[arg-type]


def of_all(place: str = _PLACE) -> Mlp:
    """Experts in two stacks of matrices, gate and up in one of them, as transformers holds them."""
    read = f"{place}.experts.gate_up_proj"
    module = f"{place}.experts"
    return Mlp({"gate": read, "in": read}, f"{place}.experts.down_proj", module, stacked=True)


def of_kinds(place: str = _PLACE) -> Mlp:
    """Experts in three stacks of matrices, one of each kind, as GGUF files hold them."""
    experts = f"{place}.experts"
    reads = {"gate": f"{experts}.gate_exps", "in": f"{experts}.up_exps"}
    return Mlp(reads, f"{experts}.down_exps", experts, stacked=True)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Experts:
    """The experts of a family's sparse layers (docs/definitions.md, "Neuron").

    `layouts` are the ways in which checkpoints hold the routed ones, `layout` the one that a
    checkpoint was found to have. `routers` are the names of the module whose rows choose among
    them, the first that of transformers' model; `shared` is the MLP that runs at every position
    beside them. `module` holds the routed experts in transformers' model. Keys of config.json:
    `n_key` for their number, `width_key` for the neurons of one, `dense_key` for a list of layers
    without, `step_key` for the distance between layers with.
    """

    layouts: tuple[Mlp, ...] = (of_each(), of_all(), of_kinds())
    layout: Mlp = field(default_factory=of_each)
    routers: tuple[str, ...] = (_PLACE + ".gate",)
    shared: Mlp | None = None
    module: str = _PLACE + ".experts"
    n_key: str = "num_experts"
    width_key: str = "moe_intermediate_size"
    dense_key: str = "mlp_only_layers"
    step_key: str = "decoder_sparse_step"

    def probes(self, layer: int) -> Iterator[tuple[str, "Experts"]]:
        """Tensors of a sparse layer that tell how a checkpoint holds experts, and them held so."""
        for layout in self.layouts:
            name = layout.tensor(layout.writes, layer=layer, expert=0)
            yield name, replace(self, layout=layout)

    def is_sparse(self, config: Mapping[str, Any], layer: int) -> bool:
        """Whether a layer has experts."""
        step = config.get(self.step_key) or 1
        return layer not in (config.get(self.dense_key) or ()) and (layer + 1) % step == 0

    def in_one_layer(self, config: Any, *, sparse: bool) -> None:
        """Change transformers' configuration so that a model of one layer has that kind of layer.

        Routed experts become as narrow as can be: their weights are served from the checkpoint.
        """
        for key, value in ((self.dense_key, [] if sparse else [0]), (self.step_key, 1)):
            if hasattr(config, key):
                setattr(config, key, value)
        if sparse:
            setattr(config, self.width_key, 1)
