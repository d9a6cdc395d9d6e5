"""OLMo 3: OLMo 2 with sliding windows in three layers of four."""

from dataclasses import replace

from catalog.ingest.families import olmo2

OLMO3 = replace(olmo2.OLMO2, name="OLMo 3", model_types=("olmo3",), gguf_architectures=())
