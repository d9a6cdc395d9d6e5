"""Dense architectures without a family, described by the names of their tensors alone."""

import re

from catalog.ingest.checkpoint import Checkpoint
from catalog.ingest.families.family import Family
from catalog.ingest.families.mlp import Mlp

# (gate, up, down) as projections are called; equal names mean one fused matrix.
_PROJECTIONS = (
    ("gate_proj", "up_proj", "down_proj"),
    ("gate_up_proj", "gate_up_proj", "down_proj"),
    ("w1", "w3", "w2"),
    ("gate", "up", "down"),
)
_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in", "embedding")
_UNEMBEDDINGS = ("lm_head", "output", "embed_out", "language_model.lm_head")


def detect(checkpoint: Checkpoint, model_type: str) -> Family | None:
    """A family for weights of kind `raw`, or None where no layer has gate, up and down."""
    for gate, up, down in _PROJECTIONS:
        pattern = re.compile(rf"(.*?)(\w+)\.0\.((?:\w+\.)*){down}\.weight")
        for match in filter(None, map(pattern.fullmatch, checkpoint.names)):
            prefix, layers, inner = match.groups()
            module = f"{layers}.{{layer}}.{inner}"
            mlp = Mlp({"gate": module + gate, "in": module + up}, module + down, module.rstrip("."))
            needed = (prefix + part.format(layer=0) + ".weight" for part in mlp.reads.values())
            # A vision tower may have gated layers too, but it embeds no tokens.
            embedding = _embedding(checkpoint, prefix)
            if embedding is not None and all(name in checkpoint for name in needed):
                return _family(checkpoint, model_type, prefix, mlp, embedding)
    return None


def _embedding(checkpoint: Checkpoint, prefix: str) -> str | None:
    stored = (name for name in _EMBEDDINGS if f"{prefix}{name}.weight" in checkpoint)
    return next(stored, None)


def _family(
    checkpoint: Checkpoint, model_type: str, prefix: str, mlp: Mlp, embedding: str
) -> Family:
    return Family(
        name=model_type,
        model_types=(model_type,),
        mlp=mlp,
        attention=None,
        mlp_norm=None,
        final_norm=None,
        raw_only=f"the norms of model type {model_type} are not known",
        embedding=embedding,
        unembedding=_UNEMBEDDINGS,
        prefixes=(prefix,),
        prefix=prefix,
        text_key="text_config" if "text_config" in checkpoint.config else None,
        activation_keys=("hidden_act", "hidden_activation", "activation_function"),
    )
