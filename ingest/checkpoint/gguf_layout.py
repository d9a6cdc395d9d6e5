"""What a GGUF file calls things: names of tensors and fields, derived from what a family says."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from catalog.errors import CheckpointError
from catalog.ingest.checkpoint.gguf_header import GgufHeader, GgufTensor

if TYPE_CHECKING:
    from catalog.ingest.families.family import Family

_BLOCK: Final = re.compile(r"blk\.(\d{1,6})\.")

_FIELDS: Final = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": "layer_norm_eps",
    "attention.clamp_kqv": "clip_qkv",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "vocab_size": "vocab_size",
}
"""Keys of config.json by the fields of an architecture."""

_USUAL: Final = {
    "layers.{layer}.input_layernorm": "attn_norm",
    "layers.{layer}.self_attn.v_proj": "attn_v",
    "layers.{layer}.self_attn.o_proj": "attn_output",
    "layers.{layer}.post_attention_layernorm": "post_attention_norm",
}
"""Modules that families do not name, where they are what most models have there."""


def family_named(header: GgufHeader, source: str) -> "Family":
    """The family of the file's architecture, which may have one with experts and one without.

    Raises:
        CheckpointError: it has none; the message says which have one.
    """
    from catalog.ingest.families.registry import FAMILIES

    architecture = str(header.field("general.architecture", "unknown"))
    has_experts = bool(header.number(f"{architecture}.expert_count"))
    by_architecture = {
        name: family
        for family in FAMILIES.values()
        if (family.experts is not None) == has_experts
        for name in family.gguf_architectures
    }
    if architecture not in by_architecture:
        raise CheckpointError(
            f"{source} has the architecture {architecture!r}"
            f"{' with experts' if has_experts else ''}, which the catalog does not read from "
            f"GGUF files; supported: {', '.join(sorted(by_architecture))}."
        )
    return by_architecture[architecture]


def config_of(
    header: GgufHeader, family: "Family", tensors: Mapping[str, GgufTensor]
) -> dict[str, Any]:
    """The values of config.json that the catalog reads, from the file's fields."""
    architecture = header.field("general.architecture")
    stated = {key: header.field(f"{architecture}.{name}") for name, key in _FIELDS.items()}
    config = {key: value for key, value in stated.items() if value is not None}
    for key in family.activation_keys:
        config.setdefault(key, family.defaults.get(key, "silu"))
    config["model_type"] = family.model_types[0]
    config["tie_word_embeddings"] = "output.weight" not in tensors
    config["attention_bias"] = "blk.0.attn_q.bias" in tensors
    if family.experts is not None:
        config[family.experts.n_key] = config.pop("num_experts")
        n_layers = config.get("num_hidden_layers")
        layers = range(n_layers if isinstance(n_layers, int) else 0)
        config[family.experts.dense_key] = [
            layer for layer in layers if f"blk.{layer}.ffn_down.weight" in tensors
        ]
        config["shared_expert_intermediate_size"] = next(
            (t.shape[0] for name, t in tensors.items() if name.endswith("ffn_up_shexp.weight")), 0
        )
    embedding = tensors.get("token_embd.weight")
    if embedding is not None and len(embedding.shape) == 2:
        config["vocab_size"] = embedding.shape[0]
    return config


def stored_names(family: "Family", tensors: Mapping[str, GgufTensor]) -> dict[str, str]:
    """The name in the file by the name that transformers has, for all tensors that it has."""
    blocks = _block_names(family)
    outside = {family.embedding: "token_embd", family.final_norm: "output_norm"}
    names = {
        family.weight(module): f"{stored}.weight" for module, stored in outside.items() if module
    }
    names[f"{family.unembedding[0]}.weight"] = "output.weight"
    found = map(_BLOCK.match, tensors)
    for layer in sorted({int(match[1]) for match in found if match}):
        for module, stored in blocks.items():
            names[family.weight(module, layer)] = f"blk.{layer}.{stored}.weight"
            names[family.bias(module, layer)] = f"blk.{layer}.{stored}.bias"
        for stack, stored in _stack_names().items():
            names[family.prefix + stack.format(layer=layer)] = f"blk.{layer}.{stored}.weight"
    return {name: stored for name, stored in names.items() if stored in tensors}


def _stack_names() -> dict[str, str]:
    """The name inside a block by a stack of the matrices of all experts; `{layer}` as below."""
    from catalog.ingest.families.experts import of_kinds

    kinds = of_kinds()
    return {
        kinds.reads["gate"]: "ffn_gate_exps",
        kinds.reads["in"]: "ffn_up_exps",
        kinds.writes: "ffn_down_exps",
    }


def _block_names(family: "Family") -> dict[str, str]:
    """The name inside a block by a layer's module; `{layer}` stands for the layer."""
    mlp, attention = family.mlp, family.attention
    names = dict(_USUAL)
    for vector, module in mlp.reads.items():
        names[module] = "ffn_gate" if vector == "gate" and not mlp.fused else "ffn_up"
    names[mlp.writes] = "ffn_down"
    if family.experts is not None:
        names[family.experts.routers[0]] = "ffn_gate_inp"
        if (shared := family.experts.shared) is not None:
            names[shared.reads["gate"]] = "ffn_gate_shexp"
            names[shared.reads["in"]] = "ffn_up_shexp"
            names[shared.writes] = "ffn_down_shexp"
            names[f"{shared.module}_gate"] = "ffn_gate_inp_shexp"
    if attention is not None:
        names[attention.query] = "attn_q"
        names[attention.key] = "attn_k"
        if attention.fused:
            names[attention.query] = "attn_qkv"
        for norm, stored in (
            (attention.query_norm, "attn_q_norm"),
            (attention.key_norm, "attn_k_norm"),
        ):
            if norm is not None:
                names[norm] = stored
    if family.mlp_norm is not None:
        names[family.mlp_norm] = "ffn_norm"
    if family.post_mlp_norm is not None:
        names[family.post_mlp_norm] = "post_ffw_norm"
    return names
