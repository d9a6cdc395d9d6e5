"""Llama 2 and 3.x, and what shares the layout: Yi, SmolLM 1 and 2."""

from catalog.ingest.families.family import Family

LLAMA = Family(
    name="Llama",
    model_types=("llama",),
    gguf_architectures=("llama",),
    gguf_permuted=True,
)
