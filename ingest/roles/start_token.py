"""The keys that a model computes for a lone start token, one decoder layer at a time.

docs/definitions.md, "Functional roles" (k_BOS): after biases, clamps and key norm, before rotation.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from catalog.errors import CheckpointError, Option
from catalog.ingest.checkpoint.transformers_refusals import asking_transformers
from catalog.ingest.known_faults import refuse_known_faults
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.one_layer import layer_state, model_of, one_layer_config, serve_experts


def start_keys(
    weights: NeuronVectors, token_id: int
) -> Iterator[Float[Tensor, "n_key_heads head_dim"]]:
    """k_BOS of every layer in order, float32 on the CPU, from the checkpoint's own forward pass.

    The model's own class runs with one layer at a time, so a model larger than memory works. The
    keys are those of its cache, what its queries are compared with, with the rotation taken out: at
    position 0 it turns nothing, but some models scale what they rotate. They are never folded.

    Raises:
        CheckpointError: the token has no embedding, or transformers has no class for the model.
        EnvironmentFault: transformers is known to run such models wrongly.
    """
    checkpoint = weights.checkpoint
    refuse_known_faults(str(checkpoint.config.get("model_type")), checkpoint.source)
    walk = _StartTokenWalk(weights, token_id)
    for layer in range(weights.n_layers):
        with asking_transformers(
            weights.checkpoint, Option("stages", "weights,vocab"), " works without"
        ):
            keys = walk.step(layer)
        yield keys


class _StartTokenWalk:
    """A lone token on its way through the layers: `stream` is what the next layer reads."""

    def __init__(self, weights: NeuronVectors, token_id: int) -> None:
        self._weights = weights
        self._embedding = _embedding_row(weights, token_id)
        self._block = weights.family.mlp.module.format(layer=0).rpartition(".")[0]
        # Layers of one make (full or sliding attention) share a model whose weights are replaced:
        # drawing random weights for a model takes longer than running it.
        self._models: dict[str, nn.Module] = {}
        self._stream: Tensor | None = None

    @torch.inference_mode()
    def step(self, layer: int) -> Float[Tensor, "n_key_heads head_dim"]:
        """Run the layer and return its keys."""
        token = torch.zeros(1, 1, dtype=torch.long)
        cache = self._model(layer)(input_ids=token, use_cache=True).past_key_values
        # [batch, n_key_heads, position, head_dim]
        return cast(Tensor, cache.layers[0].keys)[0, :, 0].clone()

    def _model(self, layer: int) -> nn.Module:
        checkpoint, family = self._weights.checkpoint, self._weights.family
        config = one_layer_config(self._weights, layer)
        key = str(config.to_dict())
        if key not in self._models:
            self._models[key] = self._hooked(model_of(config))
        model = self._models[key]
        state = layer_state(self._weights, model, layer)
        state[f"{family.embedding}.weight"] = self._embedding
        # Routed experts are served, all else is there.
        served = serve_experts(self._weights, model, layer)
        model.load_state_dict(state, assign=True, strict=served is None)
        checkpoint.release()
        return model

    def _hooked(self, model: nn.Module) -> nn.Module:
        block = model.get_submodule(self._block)
        block.register_forward_pre_hook(self._resume)
        block.register_forward_hook(self._advance)
        rotary = self._weights.family.rotary
        if rotary is not None:
            model.get_submodule(rotary).register_forward_hook(_unrotated)
        return model

    def _resume(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return inputs if self._stream is None else (self._stream, *inputs[1:])

    def _advance(self, _: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> None:
        self._stream = output if isinstance(output, Tensor) else output[0]


def _unrotated(_: nn.Module, __: object, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Cosines and sines that leave queries and keys as they are."""
    return torch.ones_like(angles[0]), torch.zeros_like(angles[1])


def _embedding_row(weights: NeuronVectors, token_id: int) -> Float[Tensor, "1 d_model"]:
    name = weights.embedding_name
    n_rows = weights.checkpoint.shape(name)[0]
    if not 0 <= token_id < n_rows:
        raise CheckpointError(
            f"{weights.checkpoint.source}: the tokenizer's start token has id {token_id}, but "
            f"{name} has {n_rows} rows."
        )
    return weights.checkpoint.rows(name, token_id, token_id + 1).float()
