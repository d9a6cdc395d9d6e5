"""A model's own class with one decoder layer, made from a checkpoint's config.json."""

import copy
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.routed import read_experts, serve


def one_layer_config(weights: NeuronVectors, layer: int) -> Any:
    """The text model's configuration with one layer, this one, and a vocabulary of one token.

    Raises CheckpointError where it states other sizes than the tensors have: a model of those
    would be made before anything else could tell.
    """
    config = copy.deepcopy(weights.checkpoint.auto_config).get_text_config()
    weights.check_sizes(config.to_dict())
    # Lists with an entry per layer (layer_types, no_rope_layers) keep that layer's entry.
    for key, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == weights.n_layers and "token" not in key:
            setattr(config, key, [value[layer]])
    family = weights.family
    if family.experts is not None:
        family.experts.in_one_layer(config, sparse=not weights.sizes.is_dense(layer))
    config.num_hidden_layers = 1
    config.vocab_size = 1
    config.pad_token_id = None
    return config


def layer_state(
    weights: NeuronVectors, model: nn.Module, layer: int
) -> dict[str, Float[Tensor, "..."]]:
    """The layer's tensors, float32, by the names of a one-layer model.

    All but the embedding, and the routed experts, which are served (`serve_experts`). Raises
    CheckpointError where one is missing.
    """
    family, experts = weights.family, weights.family.experts
    here = set(model.state_dict())
    named = {name: family.prefix + name.replace(".0.", f".{layer}.", 1) for name in here}
    if experts is not None and not weights.sizes.is_dense(layer):
        router = f"{experts.routers[0].format(layer=0)}.weight"
        named[router] = weights.router_name(layer)
        module = f"{experts.module.format(layer=0)}."
        named = {name: stored for name, stored in named.items() if not name.startswith(module)}
    return {
        name: weights.checkpoint.tensor(stored).float()
        for name, stored in sorted(named.items())
        if not name.startswith(f"{family.embedding}.")
    }


def serve_experts(weights: NeuronVectors, model: nn.Module, layer: int) -> nn.Module | None:
    """The module of the routed experts of a one-layer model, None in a dense layer.

    It reads the matrices of an expert from the checkpoint when a position is routed to it.
    """
    experts = weights.family.experts
    if experts is None or weights.sizes.is_dense(layer):
        return None
    parts = {part.expert: part for part in weights.parts(layer)}

    def matrices(expert: int) -> tuple[Tensor, Tensor]:
        part = parts[expert]
        block = weights.unfolded(part, 0, part.n)
        return torch.cat([block["gate"], block["in"]]), block["out"].T

    module = model.get_submodule(experts.module.format(layer=0))
    read_experts(model)
    serve(module, matrices)
    return module


def model_of(config: Any) -> nn.Module:
    """A model of that configuration in float32 with random weights."""
    from transformers import AutoModel

    model = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return cast(nn.Module, model.eval())
