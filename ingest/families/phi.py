"""Phi 1, 1.5 and 2: no gate; one norm feeds both attention and the MLP."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catalog.ingest.families.family import Family
from catalog.ingest.families.mlp import Mlp


def _adapted(family: Family, config: Mapping[str, Any]) -> Family:
    # A LayerNorm over each head's query: no matrix alone says what a query compares.
    return replace(family, attention=None) if config.get("qk_layernorm") else family


PHI = Family(
    name="Phi",
    model_types=("phi",),
    mlp=Mlp({"in": "layers.{layer}.mlp.fc1"}, "layers.{layer}.mlp.fc2"),
    mlp_norm="layers.{layer}.input_layernorm",
    final_norm="final_layernorm",
    norm_kind="layer",
    epsilon_key="layer_norm_eps",
    defaults={"hidden_act": "gelu_new", "tie_word_embeddings": False},
    adapted=_adapted,
)
