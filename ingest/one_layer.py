"""A model's own class with one decoder layer, made from a checkpoint's config.json."""

import copy
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from catalog.ingest.neuron_vectors import NeuronVectors


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
    config.num_hidden_layers = 1
    config.vocab_size = 1
    config.pad_token_id = None
    return config


def layer_state(
    weights: NeuronVectors, model: nn.Module, layer: int
) -> dict[str, Float[Tensor, "..."]]:
    """The layer's tensors, float32, by the names of a one-layer model; all but the embedding.

    Raises CheckpointError where one is missing.
    """
    family = weights.family
    return {
        name: weights.checkpoint.tensor(
            family.prefix + name.replace(".0.", f".{layer}.", 1)
        ).float()
        for name in model.state_dict()
        if not name.startswith(f"{family.embedding}.")
    }


def model_of(config: Any) -> nn.Module:
    """A model of that configuration in float32 with random weights."""
    from transformers import AutoModel

    model = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return cast(nn.Module, model.eval())
