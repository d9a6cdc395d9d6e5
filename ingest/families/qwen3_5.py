"""Qwen 3.5, dense: Llama's layout with gains of 1 + g; alone or with vision.

Three of four layers have no attention but a gated delta rule, and where there is attention its
queries come with a gate: no head compares as the functional roles ask, so attention is not read.
"""

from dataclasses import replace

from catalog.ingest.families.family import Family

QWEN3_5_TEXT = Family(
    name="Qwen 3.5",
    model_types=("qwen3_5_text",),
    attention=None,
    gain="one_plus_weight",
    epsilon=1e-6,
    defaults={"head_dim": 256},
)

QWEN3_5 = replace(
    QWEN3_5_TEXT,
    model_types=("qwen3_5",),
    decoder="language_model",
    text_key="text_config",
    prefixes=("model.language_model.", "language_model.model."),
    unembedding=("lm_head", "language_model.lm_head"),
)
