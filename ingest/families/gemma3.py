"""Gemma 3: Gemma 2's norms and norms over each head's query and key; alone or with vision."""

from dataclasses import replace

from catalog.ingest.families import gemma2
from catalog.ingest.families.family import Attention

GEMMA3_TEXT = replace(
    gemma2.GEMMA2,
    name="Gemma 3",
    model_types=("gemma3_text",),
    gguf_architectures=("gemma3",),
    attention=Attention(
        query_norm="layers.{layer}.self_attn.q_norm",
        key_norm="layers.{layer}.self_attn.k_norm",
    ),
)

GEMMA3 = replace(
    GEMMA3_TEXT,
    model_types=("gemma3",),
    gguf_architectures=(),
    decoder="language_model",
    text_key="text_config",
    prefixes=("language_model.model.", "model.language_model."),
    unembedding=("lm_head", "language_model.lm_head"),
)
