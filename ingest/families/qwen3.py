"""Qwen 3: Llama's layout, with a norm over each head's query and key."""

from catalog.ingest.families.family import Attention, Family

QWEN3 = Family(
    name="Qwen 3",
    model_types=("qwen3",),
    gguf_architectures=("qwen3",),
    attention=Attention(
        query_norm="layers.{layer}.self_attn.q_norm",
        key_norm="layers.{layer}.self_attn.k_norm",
    ),
    defaults={"head_dim": 128},
)
