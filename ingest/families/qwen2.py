"""Qwen 2 and 2.5: Llama's layout, with biases on queries and keys."""

from catalog.ingest.families.family import Family

QWEN2 = Family(name="Qwen 2", model_types=("qwen2",), gguf_architectures=("qwen2",))
