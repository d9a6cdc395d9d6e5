"""Gemma 2: norms before and after the MLP, gain 1 + weight."""

from catalog.ingest.families.family import Family

GEMMA2 = Family(
    name="Gemma 2",
    model_types=("gemma2",),
    gguf_architectures=("gemma2",),
    # `post_attention_layernorm` is here the norm after attention, not the one before the MLP.
    mlp_norm="layers.{layer}.pre_feedforward_layernorm",
    post_mlp_norm="layers.{layer}.post_feedforward_layernorm",
    gain="one_plus_weight",
    activation_keys=("hidden_activation",),
    defaults={
        "head_dim": 256,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "hidden_activation": "gelu_pytorch_tanh",
    },
)
