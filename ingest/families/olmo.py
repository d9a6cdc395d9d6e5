"""OLMo 1: LayerNorm without gain, and queries, keys and values clamped at `clip_qkv`."""

from catalog.ingest.families.family import Attention, Family

OLMO = Family(
    name="OLMo",
    model_types=("olmo",),
    attention=Attention(clip_key="clip_qkv"),
    norm_kind="layer",
    gain="one",
)
