"""OLMo 1: LayerNorm without gain, and queries, keys and values clamped at `clip_qkv`."""

from catalog.ingest.families.family import Family

OLMO = Family(
    name="OLMo",
    model_types=("olmo",),
    gguf_architectures=("olmo",),
    gguf_permuted=True,
    norm_kind="layer",
    gain="one",
)
