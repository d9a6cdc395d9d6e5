"""Writes a checkpoint of a given shape (Llama layout, bfloat16, sharded).

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
) -> Path:
    """Write it once: a folder that has its index is taken as it is.

    Without `attention` the model cannot be run, and a layer takes two thirds of the room.
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
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    layer = _layer(d_model, d_mlp, attention)
    weight_map: dict[str, str] = {}
    for number in range(n_layers + 1):
        if number < n_layers:
            layer = layer if alike else _layer(d_model, d_mlp, attention)
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


def _layer(d_model: int, d_mlp: int, attention: bool) -> dict[str, torch.Tensor]:
    projections = "qkvo" if attention else ""
    return {
        **{f"self_attn.{each}_proj.weight": _random(d_model, d_model) for each in projections},
        "mlp.gate_proj.weight": _random(d_mlp, d_model),
        "mlp.up_proj.weight": _random(d_mlp, d_model),
        "mlp.down_proj.weight": _random(d_model, d_mlp),
        "input_layernorm.weight": 1 + _random(d_model),
        "post_attention_layernorm.weight": 1 + _random(d_model),
    }


def _random(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.bfloat16).normal_(std=0.02)
