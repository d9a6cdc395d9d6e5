"""BLOOM: no gate; a norm follows the embedding, which W_E is read without; ALiBi positions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catalog.ingest.families.family import Attention, Family
from catalog.ingest.families.mlp import Mlp


def _adapted(family: Family, config: Mapping[str, Any]) -> Family:
    if config.get("apply_residual_connection_post_layernorm"):
        return replace(family, raw_only="its norms change the stream itself")
    return family


BLOOM = Family(
    name="BLOOM",
    model_types=("bloom",),
    mlp=Mlp({"in": "h.{layer}.mlp.dense_h_to_4h"}, "h.{layer}.mlp.dense_4h_to_h", "h.{layer}.mlp"),
    attention=Attention(
        query="h.{layer}.self_attention.query_key_value",
        key="h.{layer}.self_attention.query_key_value",
        input_norm="h.{layer}.input_layernorm",
        groups=None,
    ),
    mlp_norm="h.{layer}.post_attention_layernorm",
    final_norm="ln_f",
    norm_kind="layer",
    epsilon_key="layer_norm_epsilon",
    embedding="word_embeddings",
    prefixes=("transformer.", ""),
    rotary=None,
    # Its config names none: the code is the tanh approximation.
    defaults={"hidden_act": "gelu_pytorch_tanh"},
    config_names={
        "hidden_size": ("n_embed",),
        "num_hidden_layers": ("n_layer",),
        "num_attention_heads": ("n_head",),
    },
    adapted=_adapted,
)
