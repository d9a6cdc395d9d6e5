"""Gemma 1: Llama's layout; the gain is 1 + weight, the activation always tanh-GELU."""

from catalog.ingest.families.family import Family

GEMMA = Family(
    name="Gemma",
    model_types=("gemma",),
    gguf_architectures=("gemma",),
    gain="one_plus_weight",
    # The official releases say "gelu" and mean the tanh approximation.
    activation_aliases={"gelu": "gelu_pytorch_tanh"},
    defaults={"head_dim": 256, "hidden_act": "gelu_pytorch_tanh"},
)
