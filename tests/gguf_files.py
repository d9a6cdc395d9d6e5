"""GGUF files written from tiny checkpoints, by names that stand here a second time.

Names, permutations and shifts are those of llama.cpp's converter, written down by hand and
independent of ingest/checkpoint.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import quantize
from numpy.typing import NDArray
from safetensors.numpy import load_file

Matrix = NDArray[np.float32]
F32 = GGMLQuantizationType.F32

FIELDS = {
    "max_position_embeddings": "context_length",
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "vocab_size": "vocab_size",
    "sliding_window": "attention.sliding_window",
    "num_experts": "expert_count",
    "num_local_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
}
OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
INSIDE = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "block_sparse_moe.gate": "ffn_gate_inp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
}
STACKED = {
    **{"gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps"},
    **{"w1": "ffn_gate_exps", "w3": "ffn_up_exps", "w2": "ffn_down_exps"},
}
EXPERT = re.compile(r"model\.layers\.(\d+)\.\w+\.experts\.(\d+)\.(\w+)\.weight")
AROUND = INSIDE | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
NORMED_AROUND = ("gemma2", "gemma3_text", "olmo2")
SHIFTED = ("gemma", "gemma2", "gemma3_text")
PERMUTED = ("llama", "mixtral", "olmo", "smollm3")
ARCHITECTURES = {
    "gemma3_text": "gemma3",
    "mixtral": "llama",
    "qwen2_moe": "qwen2moe",
    "qwen3_moe": "qwen3moe",
}


def stored_name(model_type: str, name: str) -> str:
    """What llama.cpp calls a tensor of transformers."""
    match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
    if match is None:
        return OUTSIDE[name]
    inside = AROUND if model_type in NORMED_AROUND else INSIDE
    return f"blk.{match[1]}.{inside[match[2]]}.{match[3]}"


def stored_tensors(folder: Path) -> dict[str, Matrix]:
    """The tensors of a checkpoint as a GGUF file holds them."""
    config = json.loads((folder / "config.json").read_text())
    model_type = config["model_type"]
    tensors: dict[str, Matrix] = {}
    stacks: dict[str, dict[int, Matrix]] = {}
    for name, stored in load_file(folder / "model.safetensors").items():
        values = stored.astype(np.float32)
        if expert := EXPERT.fullmatch(name):
            stack = f"blk.{expert[1]}.{STACKED[expert[3]]}.weight"
            stacks.setdefault(stack, {})[int(expert[2])] = values
            continue
        if name.endswith("shared_expert_gate.weight"):
            values = values[0]
        if model_type in SHIFTED and name.endswith("norm.weight"):
            values = values + np.float32(1)
        if model_type in PERMUTED and "q_proj" in name:
            values = permuted(values, config["num_attention_heads"])
        if model_type in PERMUTED and "k_proj" in name:
            values = permuted(values, config["num_key_value_heads"])
        tensors[stored_name(model_type, name)] = values
    of_experts = {name: np.stack([of[e] for e in sorted(of)]) for name, of in stacks.items()}
    return tensors | of_experts


def permuted(rows: Matrix, n_heads: int) -> Matrix:
    halves = rows.reshape(n_heads, 2, len(rows) // n_heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def write_gguf(
    folder: Path,
    target: Path,
    kind: GGMLQuantizationType = F32,
    *,
    tokenizer: bool = False,
    architecture: str | None = None,
    edit: Callable[[dict[str, Matrix]], object] = lambda _: None,
    fields: Callable[[GGUFWriter], object] | None = None,
    per_part: int = 0,
    endian: Any = None,
) -> Path:
    """Write the checkpoint of a folder as `target`, matrices of layers in `kind`.

    `edit` changes the tensors before, `fields` adds to the header; `per_part` splits them into
    parts of so many tensors.
    """
    config = json.loads((folder / "config.json").read_text())
    name = architecture or ARCHITECTURES.get(config["model_type"], config["model_type"])
    more = {"endianess": endian} if endian is not None else {}
    writer = GGUFWriter(target, name, split_max_tensors=per_part, **more)
    for key, field in FIELDS.items():
        if config.get(key) is not None:
            writer.add_uint32(f"{name}.{field}", config[key])
    if "rms_norm_eps" in config:
        writer.add_float32(f"{name}.attention.layer_norm_rms_epsilon", config["rms_norm_eps"])
    if config.get("clip_qkv") is not None:
        writer.add_clamp_kqv(config["clip_qkv"])
    if fields is not None:
        fields(writer)
    if config.get("head_dim"):
        writer.add_uint32(f"{name}.attention.key_length", config["head_dim"])
        writer.add_uint32(f"{name}.rope.dimension_count", config["head_dim"])
    if kind == GGMLQuantizationType.Q8_0:
        writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    if tokenizer:
        add_tokenizer(writer, folder)
    tensors = stored_tensors(folder)
    edit(tensors)
    for stored, values in tensors.items():
        add_tensor(writer, stored, values, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def add_tensor(writer: GGUFWriter, name: str, values: Matrix, kind: GGMLQuantizationType) -> None:
    if values.ndim == 1 or kind == F32:
        writer.add_tensor(name, np.ascontiguousarray(values))
    else:
        writer.add_tensor(name, quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)


def add_tokenizer(writer: GGUFWriter, folder: Path) -> None:
    """The byte-level BPE of a tokenizer.json, in the fields of a GGUF file."""
    definition: Mapping[str, Any] = json.loads((folder / "tokenizer.json").read_text())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    model = definition["model"]
    ids = dict(model["vocab"]) | {
        each["content"]: each["id"] for each in definition["added_tokens"]
    }
    special = {each["content"] for each in definition["added_tokens"] if each["special"]}
    tokens = sorted(ids, key=ids.__getitem__)
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids[settings["bos_token"]])
    writer.add_eos_token_id(ids[settings["eos_token"]])
