"""The demo models, untrained."""

from typing import Any

from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Starcoder2Config, Starcoder2ForCausalLM

from catalog.ingest.demo.data import END_ID, START_ID
from catalog.ingest.demo.recipe import LENGTH, Recipe

Model = LlamaForCausalLM | Starcoder2ForCausalLM


def new_model(recipe: Recipe) -> Model:
    """Build the untrained model.

    Of the families without a gate StarCoder 2 is the nearest to Llama: attention and rotary
    positions are the same, norms are LayerNorm, the MLP is tanh-GELU between two matrices.
    """
    shape: dict[str, Any] = {
        "vocab_size": recipe.vocab,
        "hidden_size": recipe.d_model,
        "intermediate_size": recipe.d_mlp,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "num_key_value_heads": recipe.heads,
        "max_position_embeddings": LENGTH,
        "tie_word_embeddings": False,
        "initializer_range": recipe.initializer_range,
        "bos_token_id": START_ID,
        "eos_token_id": END_ID,
    }
    model: Model = (
        LlamaForCausalLM(LlamaConfig(**shape))
        if recipe.gated
        else Starcoder2ForCausalLM(Starcoder2Config(**shape, use_bias=False))
    )
    if recipe.mlp_initializer_range != recipe.initializer_range:
        for weight in mlp_matrices(model):
            nn.init.normal_(weight, std=recipe.mlp_initializer_range)
    return model


def mlp_matrices(model: Model) -> list[nn.Parameter]:
    """Return the matrices of the MLPs, [d_mlp, d_model] and [d_model, d_mlp]."""
    return [weight for layer in model.model.layers for weight in layer.mlp.parameters()]
