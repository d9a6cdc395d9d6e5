"""OLMo 2: the MLP reads the stream itself and is normed after; query and key norms span heads."""

from catalog.ingest.families.family import Attention, Family

OLMO2 = Family(
    name="OLMo 2",
    model_types=("olmo2",),
    gguf_architectures=("olmo2",),
    attention=Attention(
        input_norm=None,
        query_norm="layers.{layer}.self_attn.q_norm",
        key_norm="layers.{layer}.self_attn.k_norm",
        norm_per_head=False,
    ),
    # `post_attention_layernorm` is here the norm after attention, not the one before the MLP.
    mlp_norm=None,
    post_mlp_norm="layers.{layer}.post_feedforward_layernorm",
)
