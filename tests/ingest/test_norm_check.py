"""The norm check takes every family as it is and refuses one described wrongly."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from catalog.errors import CheckpointError
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.families import FAMILIES, Mlp
from catalog.ingest.neuron_vectors import Block, NeuronVectors
from catalog.ingest.norm_check import TOLERANCE, check_norms
from catalog.taxonomy import WEIGHT_KINDS, WeightKind
from tests.tiny_checkpoints import N_LAYERS, TINY, build

MLP = "layers.{layer}.mlp"


@pytest.mark.parametrize("model_type", sorted(TINY))
def test_every_family_passes(model_type: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(build(model_type, tmp_path)))
    check = check_norms(NeuronVectors(checkpoint, "folded"))
    assert check.deviation < TOLERANCE / 10
    assert check.layers == (0, N_LAYERS - 1)


@pytest.mark.parametrize("kind", WEIGHT_KINDS)
@pytest.mark.parametrize("model_type", ["olmo", "gemma2"])
def test_every_kind_passes(model_type: str, kind: WeightKind, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(build(model_type, tmp_path)))
    check_norms(NeuronVectors(checkpoint, kind))


def test_biases_of_the_mlp_and_half_precision_pass(tmp_path: Path) -> None:
    folder = build("llama", tmp_path, dtype=torch.bfloat16, mlp_bias=True, attention_bias=True)
    check_norms(NeuronVectors(open_checkpoint(str(folder)), "folded"))


@pytest.mark.parametrize(
    ("model_type", "wrong", "what"),
    [
        ("gemma2", {"mlp_norm": "layers.{layer}.post_attention_layernorm"}, "w_gate·x"),
        ("gemma", {"gain": "weight"}, "w_gate·x"),
        ("llama", {"gain": "one_plus_weight"}, "w_gate·x"),
        ("llama", {"mlp_norm": "layers.{layer}.input_layernorm"}, "w_gate·x"),
        ("olmo2", {"mlp_norm": "layers.{layer}.post_attention_layernorm"}, "w_gate·x"),
        ("olmo", {"norm_kind": "rms"}, "w_gate·x"),
        (
            "gemma3_text",
            {"post_mlp_norm": "layers.{layer}.post_attention_layernorm"},
            "what the norm after the MLP reads",
        ),
        (
            "llama",
            {
                "mlp": Mlp(
                    {"gate": "layers.{layer}.mlp.up_proj", "in": "layers.{layer}.mlp.gate_proj"}
                )
            },
            r"silu\(gate\) \* in",
        ),
        ("gemma", {"defaults": {"hidden_act": "relu"}, "activation_keys": ("none",)}, None),
    ],
)
def test_a_wrong_description_is_refused(
    model_type: str, wrong: dict[str, Any], what: str | None, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(str(build(model_type, tmp_path)))
    family = replace(FAMILIES[model_type], **wrong)
    with pytest.raises(CheckpointError, match=f"layer 0 .*{what} is off" if what else "activation"):
        check_norms(NeuronVectors(checkpoint, "folded", family))


def test_a_norm_that_is_wrong_in_the_last_layer_only_is_refused(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(build("llama", tmp_path)))
    weights = NeuronVectors(checkpoint, "folded")
    blocks = weights.block

    def spoiled(layer: int, start: int, stop: int, device: torch.device | str = "cpu") -> Block:
        block = blocks(layer, start, stop, device)
        return block if layer == 0 else block | {"in": block["in"] * 1.001}

    weights.block = spoiled  # type: ignore[method-assign]
    with pytest.raises(CheckpointError, match=f"layer {N_LAYERS - 1} .*w_in·x"):
        check_norms(weights)


def test_a_model_that_transformers_does_not_have_is_refused(tmp_path: Path) -> None:
    folder = build("llama", tmp_path)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"model_type": "llama"', '"model_type": "novel"'))
    weights = NeuronVectors(open_checkpoint(str(folder)), "folded", FAMILIES["llama"])
    with pytest.raises(CheckpointError, match=r"transformers has no class for .*novel"):
        check_norms(weights)
