"""GPT-2 and DistilGPT-2: no gate; matrices stored [in, out]; positions are learned."""

from catalog.ingest.families.family import Attention, Family
from catalog.ingest.families.mlp import Mlp

GPT2 = Family(
    name="GPT-2",
    model_types=("gpt2",),
    mlp=Mlp({"in": "h.{layer}.mlp.c_fc"}, "h.{layer}.mlp.c_proj", "h.{layer}.mlp"),
    attention=Attention(
        query="h.{layer}.attn.c_attn", key="h.{layer}.attn.c_attn", input_norm="h.{layer}.ln_1"
    ),
    mlp_norm="h.{layer}.ln_2",
    final_norm="ln_f",
    norm_kind="layer",
    epsilon_key="layer_norm_epsilon",
    transposed=True,
    embedding="wte",
    # The first releases lack the prefix.
    prefixes=("transformer.", ""),
    rotary=None,
    activation_keys=("activation_function",),
    defaults={"activation_function": "gelu_new"},
    config_names={
        "hidden_size": ("n_embd",),
        "intermediate_size": ("n_inner",),
        "num_hidden_layers": ("n_layer",),
        "num_attention_heads": ("n_head",),
        "max_position_embeddings": ("n_positions",),
    },
)
