"""GPT-NeoX and Pythia: no gate; the MLP's norm is its own, also where it runs beside attention."""

from catalog.ingest.families.family import Attention, Family
from catalog.ingest.families.mlp import Mlp

GPT_NEOX = Family(
    name="GPT-NeoX",
    model_types=("gpt_neox",),
    mlp=Mlp({"in": "layers.{layer}.mlp.dense_h_to_4h"}, "layers.{layer}.mlp.dense_4h_to_h"),
    attention=Attention(
        query="layers.{layer}.attention.query_key_value",
        key="layers.{layer}.attention.query_key_value",
        groups=None,
    ),
    final_norm="final_layer_norm",
    norm_kind="layer",
    epsilon_key="layer_norm_eps",
    embedding="embed_in",
    unembedding=("embed_out", "lm_head"),
    prefixes=("gpt_neox.", ""),
    defaults={"hidden_act": "gelu", "tie_word_embeddings": False},
)
