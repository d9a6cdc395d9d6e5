"""GPT-J: no gate; one norm feeds both attention and the MLP; a bias of lm_head is left out."""

from dataclasses import replace

from catalog.ingest.families import gpt2
from catalog.ingest.families.family import Attention
from catalog.ingest.families.mlp import Mlp

GPTJ = replace(
    gpt2.GPT2,
    name="GPT-J",
    model_types=("gptj",),
    mlp=Mlp({"in": "h.{layer}.mlp.fc_in"}, "h.{layer}.mlp.fc_out", "h.{layer}.mlp"),
    attention=Attention(
        query="h.{layer}.attn.q_proj", key="h.{layer}.attn.k_proj", input_norm="h.{layer}.ln_1"
    ),
    mlp_norm="h.{layer}.ln_1",
    transposed=False,
    defaults={**gpt2.GPT2.defaults, "tie_word_embeddings": False},
)
"""Rotation is inside the attention itself, and turns nothing at position 0."""
