"""Writes a checkpoint of a given shape (Llama's layout, or Mixtral's; bfloat16, sharded).

Weights are random, and the same in every layer unless asked otherwise: drawing them takes longer
than what most benchmarks measure.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

D_MODEL, D_MLP = 4096, 11008  # OLMo-7B


def checkpoint_of_shape(
    folder: Path,
    n_layers: int,
    d_model: int = D_MODEL,
    d_mlp: int = D_MLP,
    d_vocab: int = 1000,
    *,
    alike: bool = True,
    attention: bool = False,
    n_experts: int = 0,
) -> Path:
    """Write it once: a folder that has its index is taken as it is.

    Without `attention` the model cannot be run, and a layer takes two thirds of the room. With
    `n_experts` every layer has so many of `d_mlp` neurons, all alike.
    """
    index = folder / "model.safetensors.index.json"
    if index.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": d_model,
        "intermediate_size": d_mlp,
        "num_hidden_layers": n_layers,
        "vocab_size": d_vocab,
        "num_attention_heads": 32,
        "tie_word_embeddings": False,
    }
    if n_experts:
        config |= {"model_type": "mixtral", "num_local_experts": n_experts}
        config |= {"architectures": ["MixtralForCausalLM"], "num_experts_per_tok": 2}
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    layer = _layer(d_model, d_mlp, attention, n_experts)
    weight_map: dict[str, str] = {}
    for number in range(n_layers + 1):
        if number < n_layers:
            layer = layer if alike else _layer(d_model, d_mlp, attention, n_experts)
            tensors = {f"model.layers.{number}.{name}": each for name, each in layer.items()}
        else:
            tensors = {
                "model.embed_tokens.weight": _random(d_vocab, d_model),
                "lm_head.weight": _random(d_vocab, d_model),
                "model.norm.weight": 1 + _random(d_model),
            }
        shard = f"model-{number + 1:05d}-of-{n_layers + 1:05d}.safetensors"
        save_file(tensors, folder / shard)
        weight_map |= dict.fromkeys(tensors, shard)
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def _layer(d_model: int, d_mlp: int, attention: bool, n_experts: int) -> dict[str, torch.Tensor]:
    projections = "qkvo" if attention else ""
    mlp = {
        "gate_proj": _random(d_mlp, d_model),
        "up_proj": _random(d_mlp, d_model),
        "down_proj": _random(d_model, d_mlp),
    }
    return {
        **{f"self_attn.{each}_proj.weight": _random(d_model, d_model) for each in projections},
        **(_experts(mlp, n_experts) if n_experts else _named("mlp", mlp)),
        "input_layernorm.weight": 1 + _random(d_model),
        "post_attention_layernorm.weight": 1 + _random(d_model),
    }


def _experts(mlp: dict[str, torch.Tensor], n_experts: int) -> dict[str, torch.Tensor]:
    """The same MLP `n_experts` times, in Mixtral's names, and a router."""
    place, names = "block_sparse_moe", {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
    found = {f"{place}.gate.weight": _random(n_experts, mlp["up_proj"].shape[1])}
    for expert in range(n_experts):
        own = {names[name]: tensor.clone() for name, tensor in mlp.items()}
        found |= _named(f"{place}.experts.{expert}", own)
    return found


def _named(place: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{place}.{name}.weight": tensor for name, tensor in tensors.items()}


def _random(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.bfloat16).normal_(std=0.02)
