"""OPT: no gate, ReLU; OPT-350m norms after each block and embeds in another width."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catalog.ingest.families.family import Attention, Family
from catalog.ingest.families.mlp import Mlp


def _adapted(family: Family, config: Mapping[str, Any]) -> Family:
    if config.get("layer_norm_elementwise_affine") is False:
        family = replace(family, gain="one")
    width = config.get("word_embed_proj_dim")
    if width is not None and width != config.get("hidden_size"):
        family = replace(family, project_in="decoder.project_in", project_out="decoder.project_out")
    if config.get("do_layer_norm_before") is False:
        # Each norm is over the stream itself, so what follows reads it, gain and all.
        assert family.attention is not None
        return replace(
            family,
            raw_only="its norms come after attention and MLP and change the stream itself",
            mlp_norm=None,
            final_norm=None,
            attention=replace(family.attention, input_norm=None),
        )
    return replace(family, final_norm=None) if config.get("_remove_final_layer_norm") else family


OPT = Family(
    name="OPT",
    model_types=("opt",),
    # Its layers have no module for the MLP as a whole.
    mlp=Mlp(
        {"in": "decoder.layers.{layer}.fc1"},
        "decoder.layers.{layer}.fc2",
        "decoder.layers.{layer}.fc1",
    ),
    attention=Attention(
        query="decoder.layers.{layer}.self_attn.q_proj",
        key="decoder.layers.{layer}.self_attn.k_proj",
        input_norm="decoder.layers.{layer}.self_attn_layer_norm",
    ),
    mlp_norm="decoder.layers.{layer}.final_layer_norm",
    final_norm="decoder.final_layer_norm",
    norm_kind="layer",
    epsilon_key="layer_norm_eps",
    embedding="decoder.embed_tokens",
    rotary=None,
    activation_keys=("activation_function",),
    activation_aliases={"ReLU": "relu"},
    defaults={"activation_function": "relu"},
    config_names={"intermediate_size": ("ffn_dim",)},
    adapted=_adapted,
)
