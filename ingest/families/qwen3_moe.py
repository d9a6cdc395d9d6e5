"""Qwen 3 with experts: Qwen 3's attention; some layers may be dense."""

from dataclasses import replace

from catalog.ingest.families import qwen3
from catalog.ingest.families.experts import Experts

QWEN3_MOE = replace(
    qwen3.QWEN3,
    name="Qwen 3 MoE",
    model_types=("qwen3_moe",),
    gguf_architectures=("qwen3moe",),
    experts=Experts(),
    config_names={"num_experts": ("num_local_experts",)},
)
