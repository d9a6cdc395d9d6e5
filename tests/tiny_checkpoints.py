"""Tiny checkpoints of every supported family, built and saved by transformers itself.

Weights are random, norm gains are not one and biases not zero, so that a folding left out shows.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn

from catalog.ingest.families import FAMILIES

_EXPERT = re.compile(
    r"model\.layers\.(?P<layer>\d+)\.\w+\.experts\.(?P<expert>\d+)\.(?P<module>\w+)\.weight"
)
_KIND = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}
D_VOCAB = 320
N_LAYERS = 3
_COMMON: dict[str, Any] = {
    "vocab_size": D_VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
}
_SENTENCES = [
    "The class statement binds a name to a new class object, and returns None.",
    "An iterator's next method raises StopIteration when there are no further items.",
    "Ünïcödé, 日本語 and emoji 🙂 are bytes too;\tso is\na line break.",
    "for key, value in mapping.items(): print(key, value)",
]


def _text_model(config_class: str, model_class: str, **special: Any) -> Callable[..., nn.Module]:
    def make(**overrides: Any) -> nn.Module:
        config = getattr(transformers, config_class)(**{**_COMMON, **special, **overrides})
        model: nn.Module = getattr(transformers, model_class)(config)
        return model

    return make


def _plain_model(
    config_class: str, model_class: str, names: dict[str, str | None], **special: Any
) -> Callable[..., nn.Module]:
    """As `_text_model`; `names` are what the config calls otherwise, None for what it lacks."""
    common = {
        name: value
        for usual, value in _COMMON.items()
        if (name := names.get(usual, usual)) is not None
    }

    def make(**overrides: Any) -> nn.Module:
        config = getattr(transformers, config_class)(**{**common, **special, **overrides})
        model: nn.Module = getattr(transformers, model_class)(config)
        return model

    return make


def _gemma3_with_vision(**overrides: Any) -> nn.Module:
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 8,
        "patch_size": 4,
    }
    text = {**_COMMON, **_HEADS, "sliding_window": 8, **overrides}
    config = transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4
    )
    return transformers.Gemma3ForConditionalGeneration(config)


def _gemma4_for_images(**overrides: Any) -> nn.Module:
    # Where images may stand it asks for the embedding of padding.
    text = {**_COMMON, **_GEMMA4, "pad_token_id": 0, **overrides}
    config = transformers.Gemma4Config(text_config=text, vision_config=None, audio_config=None)
    return transformers.Gemma4ForConditionalGeneration(config)


def _qwen3_5_with_vision(**overrides: Any) -> nn.Module:
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "depth": 1,
        "num_heads": 2,
        "out_hidden_size": 32,
        "num_position_embeddings": 16,
    }
    text = {**_COMMON, **_DELTA, **overrides}
    config = transformers.Qwen3_5Config(text_config=text, vision_config=vision)
    return transformers.Qwen3_5ForConditionalGeneration(config)


_HEADS = {"head_dim": 16}
_GEMMA4 = {
    **_HEADS,
    "sliding_window": 8,
    "global_head_dim": 16,
    "hidden_size_per_layer_input": 0,
}
_DELTA = {
    **_HEADS,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "full_attention_interval": 3,
}
"""Of three layers the last has attention, the others a delta rule."""
_EXPERTS = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_GPT2_NAMES: dict[str, str | None] = {
    "hidden_size": "n_embd",
    "intermediate_size": "n_inner",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "num_key_value_heads": None,
    "max_position_embeddings": "n_positions",
}
TINY: dict[str, Callable[..., nn.Module]] = {
    "bloom": _plain_model(
        "BloomConfig",
        "BloomForCausalLM",
        {
            "intermediate_size": None,  # four times the width, always
            "num_hidden_layers": "n_layer",
            "num_attention_heads": "n_head",
            "num_key_value_heads": None,
            "max_position_embeddings": None,
        },
    ),
    "codegen": _plain_model("CodeGenConfig", "CodeGenForCausalLM", _GPT2_NAMES, rotary_dim=4),
    "falcon": _plain_model(
        "FalconConfig",
        "FalconForCausalLM",
        {"intermediate_size": "ffn_hidden_size", "num_key_value_heads": None},
    ),
    "gemma": _text_model("GemmaConfig", "GemmaForCausalLM", **_HEADS),
    "gemma2": _text_model("Gemma2Config", "Gemma2ForCausalLM", sliding_window=8, **_HEADS),
    "gemma3": _gemma3_with_vision,
    "gemma3_text": _text_model("Gemma3TextConfig", "Gemma3ForCausalLM", sliding_window=8, **_HEADS),
    "gemma4": _gemma4_for_images,
    "gemma4_text": _text_model("Gemma4TextConfig", "Gemma4ForCausalLM", **_GEMMA4),
    "gpt2": _plain_model("GPT2Config", "GPT2LMHeadModel", _GPT2_NAMES),
    "gpt_neox": _plain_model("GPTNeoXConfig", "GPTNeoXForCausalLM", {"num_key_value_heads": None}),
    "gptj": _plain_model("GPTJConfig", "GPTJForCausalLM", _GPT2_NAMES, rotary_dim=4),
    "llama": _text_model("LlamaConfig", "LlamaForCausalLM"),
    "mistral": _text_model("MistralConfig", "MistralForCausalLM"),
    "mixtral": _text_model(
        "MixtralConfig", "MixtralForCausalLM", num_local_experts=5, num_experts_per_tok=2
    ),
    "olmo": _text_model("OlmoConfig", "OlmoForCausalLM", clip_qkv=0.5),
    "olmo2": _text_model("Olmo2Config", "Olmo2ForCausalLM"),
    "olmo3": _text_model("Olmo3Config", "Olmo3ForCausalLM", sliding_window=8),
    "olmoe": _text_model(
        "OlmoeConfig", "OlmoeForCausalLM", clip_qkv=0.5, num_experts=5, num_experts_per_tok=2
    ),
    "opt": _plain_model(
        "OPTConfig",
        "OPTForCausalLM",
        {"intermediate_size": "ffn_dim", "num_key_value_heads": None},
    ),
    "phi": _text_model("PhiConfig", "PhiForCausalLM"),
    "phi3": _text_model("Phi3Config", "Phi3ForCausalLM"),
    "qwen2": _text_model("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen2_moe": _text_model(
        "Qwen2MoeConfig",
        "Qwen2MoeForCausalLM",
        shared_expert_intermediate_size=40,
        mlp_only_layers=[2],
        **_EXPERTS,
    ),
    "qwen3": _text_model("Qwen3Config", "Qwen3ForCausalLM", **_HEADS),
    "qwen3_5": _qwen3_5_with_vision,
    "qwen3_5_text": _text_model("Qwen3_5TextConfig", "Qwen3_5ForCausalLM", **_DELTA),
    "qwen3_moe": _text_model(
        "Qwen3MoeConfig", "Qwen3MoeForCausalLM", mlp_only_layers=[0], **_EXPERTS, **_HEADS
    ),
    "smollm3": _text_model("SmolLM3Config", "SmolLM3ForCausalLM"),
    "starcoder2": _text_model("Starcoder2Config", "Starcoder2ForCausalLM"),
}

DENSE = sorted(name for name in TINY if name not in FAMILIES or FAMILIES[name].experts is None)
"""Those without experts, which some stages do not know."""
"""How to make a tiny model, by the `model_type` of its config.json."""


def build(
    family_model_type: str,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    max_shard_size: str = "1GB",
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """Save a tiny checkpoint of that model type into `folder` and return the folder.

    `overrides` are values of the model's (text) config; `max_shard_size="40KB"` gives shards.
    """
    torch.manual_seed(seed)
    model = TINY[family_model_type](**overrides)
    randomise(model)
    model.to(dtype).save_pretrained(folder, max_shard_size=max_shard_size)  # type: ignore[operator]
    return folder


def stack_experts(folder: Path, target: Path) -> Path:
    """The same checkpoint in `target`, its experts in the stacks in which transformers holds them.

    Returns `target`.
    """
    tensors = load_file(folder / "model.safetensors")
    of_layers: dict[str, dict[tuple[int, str], torch.Tensor]] = {}
    for name, match in [(name, _EXPERT.fullmatch(name)) for name in tensors]:
        if match is not None:
            at = int(match["expert"]), _KIND.get(match["module"], match["module"])
            of_layers.setdefault(match["layer"], {})[at] = tensors.pop(name)
    for layer, parts in of_layers.items():
        experts = sorted({expert for expert, _ in parts})
        read = [torch.cat([parts[e, "gate_proj"], parts[e, "up_proj"]]) for e in experts]
        place = f"model.layers.{layer}.mlp.experts"
        tensors[f"{place}.gate_up_proj"] = torch.stack(read)
        tensors[f"{place}.down_proj"] = torch.stack([parts[e, "down_proj"] for e in experts])
    renamed = {name.replace(".block_sparse_moe.", ".mlp."): t for name, t in tensors.items()}
    save_file(renamed, target / "model.safetensors")
    (target / "config.json").write_bytes((folder / "config.json").read_bytes())
    return target


def randomise(model: nn.Module) -> None:
    """Random weights: matrices around 0, gains around their neutral value, biases around 0."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)
            else:
                # What the model starts with: gains 1 (Gemma's 0), biases 0.
                parameter.add_(torch.randn_like(parameter) * 0.3)


def save_tokenizer(folder: Path) -> Path:
    """Write a byte-level BPE `tokenizer.json` of some 300 pieces that begins texts with `<s>`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>"
    )
    fast.save_pretrained(folder)
    return folder
