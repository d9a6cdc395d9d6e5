"""Gemma 4, dense: norms around attention and MLP as in Gemma 2, with gains of g and not 1 + g.

Head lengths differ from layer to layer, so attention is not read. The small models (E2B, E4B) feed
every layer from an embedding of its own: those are raw only. Where their MLPs differ in width, or
experts stand beside the MLP, a checkpoint is refused by the shapes or the number of these.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catalog.ingest.families import gemma2
from catalog.ingest.families.family import Family


def _adapted(family: Family, config: Mapping[str, Any]) -> Family:
    if not family.setting(config, "hidden_size_per_layer_input", 256):
        return family
    return replace(family, raw_only="each of its layers reads an embedding of its own as well")


GEMMA4_TEXT = replace(
    gemma2.GEMMA2,
    name="Gemma 4",
    model_types=("gemma4_text",),
    gguf_architectures=(),
    gain="weight",
    attention=None,
    adapted=_adapted,
)

GEMMA4 = replace(
    GEMMA4_TEXT,
    model_types=("gemma4",),
    decoder="language_model",
    text_key="text_config",
    prefixes=("model.language_model.", "language_model.model."),
    unembedding=("lm_head", "language_model.lm_head"),
)
