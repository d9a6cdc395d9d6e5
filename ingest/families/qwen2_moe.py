"""Qwen 1.5 and 2 with experts: some layers may be dense, and one shared expert always runs."""

from catalog.ingest.families.experts import Experts
from catalog.ingest.families.family import Family
from catalog.ingest.families.mlp import Mlp

_SHARED = "layers.{layer}.mlp.shared_expert"

QWEN2_MOE = Family(
    name="Qwen 2 MoE",
    model_types=("qwen2_moe",),
    gguf_architectures=("qwen2moe",),
    experts=Experts(
        shared=Mlp(
            {"gate": f"{_SHARED}.gate_proj", "in": f"{_SHARED}.up_proj"},
            f"{_SHARED}.down_proj",
            _SHARED,
        )
    ),
    defaults={"hidden_act": "silu", "tie_word_embeddings": False},
)
