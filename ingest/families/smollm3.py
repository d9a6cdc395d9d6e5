"""SmolLM 3: Llama's layout; some layers do not rotate, which position 0 does not see."""

from catalog.ingest.families.family import Family

SMOLLM3 = Family(
    name="SmolLM 3",
    model_types=("smollm3",),
    gguf_architectures=("smollm3",),
    gguf_permuted=True,
)
