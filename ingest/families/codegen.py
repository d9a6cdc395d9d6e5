"""CodeGen: GPT-J's layout, with queries, values and keys in one matrix of four blocks."""

from dataclasses import replace

from catalog.ingest.families import gptj
from catalog.ingest.families.family import Attention

CODEGEN = replace(
    gptj.GPTJ,
    name="CodeGen",
    model_types=("codegen",),
    attention=Attention(
        query="h.{layer}.attn.qkv_proj",
        key="h.{layer}.attn.qkv_proj",
        input_norm="h.{layer}.ln_1",
        groups=4,  # of as many heads each, from the four cores that it was trained on
    ),
)
