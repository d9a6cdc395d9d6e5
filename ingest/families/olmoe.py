"""OLMoE: OLMo 1's clamps with RMSNorms, and query and key norms over all heads at once."""

from catalog.ingest.families.experts import Experts
from catalog.ingest.families.family import Attention, Family

OLMOE = Family(
    name="OLMoE",
    model_types=("olmoe",),
    gguf_architectures=("olmoe",),
    experts=Experts(width_key="intermediate_size"),
    attention=Attention(
        query_norm="layers.{layer}.self_attn.q_norm",
        key_norm="layers.{layer}.self_attn.k_norm",
        norm_per_head=False,
    ),
    config_names={"num_experts": ("num_local_experts",)},
)
