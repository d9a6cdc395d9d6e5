"""Which family a checkpoint belongs to."""

import importlib
import pkgutil
from pathlib import Path

from catalog.errors import CheckpointError
from catalog.ingest.checkpoint import Checkpoint
from catalog.ingest.families.family import Family
from catalog.ingest.families.generic import detect

_EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_REFUSED = {
    "gpt_oss": " whose experts clamp gate and up and add 1 to up, so that their neurons are none "
    "as the catalog defines them"
}
"""What is said of model types that are refused for a reason of their own."""


def _discover() -> dict[str, Family]:
    found: dict[str, Family] = {}
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        for value in vars(importlib.import_module(f"{package}.{module.name}")).values():
            if isinstance(value, Family):
                found.update(dict.fromkeys(value.model_types, value))
    return found


def family_of(checkpoint: Checkpoint) -> Family:
    """The family of a checkpoint, located in it.

    A model type without a family is described by its tensor names, if it has a gate: enough for
    weights of kind `raw`. Raises CheckpointError for experts of a type without a family, or where
    there is no MLP to be found.
    """
    model_type = str(checkpoint.config.get("model_type", "unknown"))
    family = FAMILIES.get(model_type)
    if family is None or family.experts is None:
        _refuse_experts(checkpoint, model_type)
    if family is not None:
        return family.located(checkpoint)
    detected = detect(checkpoint, model_type)
    if detected is None:
        raise CheckpointError(
            f"{checkpoint.source} has no MLP that the catalog knows (model type {model_type}"
            f"); supported: {supported()}."
        )
    return detected


def supported() -> str:
    """The model types that have a family, for messages."""
    return ", ".join(sorted(FAMILIES))


def _refuse_experts(checkpoint: Checkpoint, model_type: str) -> None:
    config = checkpoint.config
    texts = [config, config.get("text_config") or {}]
    counts = [text.get(key) for text in texts for key in _EXPERT_KEYS]
    named = any(".experts." in name or ".block_sparse_moe." in name for name in checkpoint.names)
    if named or any(isinstance(count, int) and count > 1 for count in counts):
        why = _REFUSED.get(model_type, "")
        known = sorted(name for name, family in FAMILIES.items() if family.experts is not None)
        raise CheckpointError(
            f"{checkpoint.source} is a mixture of experts (model type {model_type}){why}; of those "
            f"the catalog takes {', '.join(known)}."
        )


FAMILIES = _discover()
"""Families by the `model_type` of config.json."""
