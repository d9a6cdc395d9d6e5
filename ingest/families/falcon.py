"""Falcon: no gate; which norm the MLP reads and how many heads share keys is in its config."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catalog.ingest.families import bloom
from catalog.ingest.families.family import Family


def _adapted(family: Family, config: Mapping[str, Any]) -> Family:
    grouped = bool(config.get("new_decoder_architecture"))
    parallel = grouped or family.setting(config, "parallel_attn", True)
    own_norms = grouped and config.get("num_ln_in_parallel_attn") in (None, 2)
    if own_norms:
        mlp_norm, input_norm = "ln_mlp", "ln_attn"
    else:
        mlp_norm = "input_layernorm" if parallel else "post_attention_layernorm"
        input_norm = "input_layernorm"
    n_heads = family.setting(config, "num_attention_heads")
    shared = not grouped and family.setting(config, "multi_query", True)
    n_key_heads = 1 if shared else config.get("num_kv_heads") if grouped else n_heads
    assert family.attention is not None
    return replace(
        family,
        mlp_norm=f"h.{{layer}}.{mlp_norm}",
        attention=replace(family.attention, input_norm=f"h.{{layer}}.{input_norm}"),
        defaults={**family.defaults, "num_key_value_heads": n_key_heads or n_heads},
    )


FALCON = replace(
    bloom.BLOOM,
    name="Falcon",
    model_types=("falcon",),
    rotary="rotary_emb",
    activation_keys=("activation",),
    defaults={"activation": "gelu"},
    config_names={**bloom.BLOOM.config_names, "intermediate_size": ("ffn_hidden_size",)},
    adapted=_adapted,
)
