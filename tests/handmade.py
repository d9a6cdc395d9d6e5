"""A Llama checkpoint written tensor by tensor, so that every awkward case can be put into it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

Array = NDArray[np.float32]
Tensors = dict[str, Array]

D_MODEL, D_MLP, D_VOCAB, N_LAYERS = 16, 24, 61, 3
HOLE = 7
N_PADDING = 4
LISTED = [at for at in range(D_VOCAB - N_PADDING) if at != HOLE]
"""Ids that the tokenizer has: all but a hole and the padding at the end."""

_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": D_MODEL,
    "intermediate_size": D_MLP,
    "max_position_embeddings": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_hidden_layers": N_LAYERS,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "vocab_size": D_VOCAB,
}


def tensors(seed: int = 0, n_layers: int = N_LAYERS, d_mlp: int = D_MLP) -> Tensors:
    """Random weights, with norm gains far enough from 1 to show when they are left out."""
    random = np.random.default_rng(seed)

    def matrix(*shape: int) -> Array:
        return random.normal(0, 0.3, shape).astype(np.float32)

    def gain() -> Array:
        return random.uniform(0.5, 2.0, D_MODEL).astype(np.float32)

    made = {
        "model.embed_tokens.weight": matrix(D_VOCAB, D_MODEL),
        "lm_head.weight": matrix(D_VOCAB, D_MODEL),
        "model.norm.weight": gain(),
    }
    for layer in range(n_layers):
        at = f"model.layers.{layer}."
        made[at + "input_layernorm.weight"] = gain()
        made[at + "post_attention_layernorm.weight"] = gain()
        for name in "qkvo":
            made[f"{at}self_attn.{name}_proj.weight"] = matrix(D_MODEL, D_MODEL)
        made[at + "mlp.gate_proj.weight"] = matrix(d_mlp, D_MODEL)
        made[at + "mlp.up_proj.weight"] = matrix(d_mlp, D_MODEL)
        made[at + "mlp.down_proj.weight"] = matrix(D_MODEL, d_mlp)
    return made


def save(
    folder: Path,
    *,
    seed: int = 0,
    n_layers: int = N_LAYERS,
    d_mlp: int = D_MLP,
    edit: Callable[[Tensors], None] = lambda _: None,
) -> Tensors:
    """Write the checkpoint and its tokenizer; returns the tensors after `edit`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = tensors(seed, n_layers, d_mlp)
    edit(made)
    save_file(made, folder / "model.safetensors", metadata={"format": "pt"})
    config = {**_CONFIG, "num_hidden_layers": n_layers, "intermediate_size": d_mlp}
    (folder / "config.json").write_text(json.dumps(config))
    save_tokenizer(folder)
    return made


def save_tokenizer(folder: Path) -> None:
    """Whole words with ▁ for a space: `▁w3` is id 3; the hole and the padding have no piece."""
    words = {f"▁w{at}": at for at in LISTED}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="▁w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def vectors(made: Tensors, layer: int, kind: str) -> dict[str, NDArray[np.float64]]:
    """w_gate, w_in and w_out of a layer as docs/definitions.md defines them, float64 [d_mlp, d]."""
    at = f"model.layers.{layer}."
    gain = made[at + "post_attention_layernorm.weight"].astype(np.float64)
    scale = np.ones(D_MODEL) if kind == "raw" else gain
    return {
        "gate": made[at + "mlp.gate_proj.weight"].astype(np.float64) * scale,
        "in": made[at + "mlp.up_proj.weight"].astype(np.float64) * scale,
        "out": made[at + "mlp.down_proj.weight"].astype(np.float64).T,
    }


def basis(made: Tensors, name: str, kind: str) -> NDArray[np.float64]:
    """W_U transposed or W_E, float64 [d_vocab, d_model]."""
    if name == "embed":
        return made["model.embed_tokens.weight"].astype(np.float64)
    matrix: NDArray[np.float64] = made["lm_head.weight"].astype(np.float64)
    if kind == "raw":
        return matrix
    matrix = matrix * made["model.norm.weight"].astype(np.float64)
    matrix -= matrix.mean(axis=0)
    return matrix
