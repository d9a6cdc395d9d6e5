"""Phi 3 and Phi 4: gate and up in one matrix, queries, keys and values in another."""

from catalog.ingest.families.family import Attention, Family
from catalog.ingest.families.mlp import Mlp

PHI3 = Family(
    name="Phi 3",
    model_types=("phi3",),
    gguf_architectures=("phi3",),
    mlp=Mlp({"gate": "layers.{layer}.mlp.gate_up_proj", "in": "layers.{layer}.mlp.gate_up_proj"}),
    attention=Attention(
        query="layers.{layer}.self_attn.qkv_proj", key="layers.{layer}.self_attn.qkv_proj"
    ),
)
