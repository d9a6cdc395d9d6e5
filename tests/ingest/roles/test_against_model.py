"""Keys, attention scores and null-space shares agree with the whole model's own modules."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from catalog.errors import CheckpointError
from catalog.ingest.attention_queries import queries
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.families import FAMILIES
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.roles.attention import head_directions
from catalog.ingest.roles.geometry import (
    direction_cosines,
    n_null_directions,
    null_space,
    null_space_shares,
    unit_rows,
)
from catalog.ingest.roles.start_token import start_keys
from catalog.ingest.vocabulary_matrices import unembedding
from catalog.taxonomy import WEIGHT_KINDS, WeightKind
from tests.ingest.roles.plain import Plain
from tests.tiny_checkpoints import N_LAYERS, TINY, build

TOKEN = 7
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}
SPECIAL: dict[str, tuple[str, dict[str, Any]]] = {
    "no GQA": ("llama", {"num_key_value_heads": 4}),
    "one key head": ("llama", {"num_key_value_heads": 1}),
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "scaled rotation": ("llama", {"rope_parameters": YARN, "max_position_embeddings": 256}),
    "rotation of a part": ("phi3", {"partial_rotary_factor": 0.5}),
    "tied": ("qwen2", {"tie_word_embeddings": True}),
    "no clip": ("olmo", {"clip_qkv": None}),
    "layers of two makes": (
        "gemma2",
        {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
    ),
}
SPECIAL |= {
    "falcon with groups": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon with all heads": ("falcon", {"multi_query": False, "alibi": True, "bias": True}),
    "no parallel residual": ("gpt_neox", {"use_parallel_residual": False}),
}
KNOWN = [name for name in TINY if FAMILIES[name].attention is not None]
"""Those whose attention the catalog reads."""
CASES = {**{name: (name, {}) for name in KNOWN}, **SPECIAL}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def made(case: str) -> tuple[Path, Plain]:
        model_type, overrides = CASES[case]
        folder = build(model_type, tmp_path_factory.mktemp("tiny"), **overrides)
        return folder, Plain.of(folder, TOKEN)

    return made


def weights_of(folder: Path, kind: WeightKind = "folded") -> NeuronVectors:
    return NeuronVectors(open_checkpoint(str(folder)), kind)


@pytest.mark.parametrize("case", CASES)
def test_keys_are_those_of_the_whole_model(case: str, model: Any) -> None:
    folder, plain = model(case)
    keys = list(start_keys(weights_of(folder), TOKEN))
    assert len(keys) == N_LAYERS
    for layer, key in enumerate(keys):
        # Falcon's groups: the model keeps a key for each query head.
        expected = plain.keys(layer).repeat(len(key) // plain.n_key_heads, axis=0)
        np.testing.assert_allclose(key.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_clamp_of_olmo_really_clamps(model: Any) -> None:
    _, plain = model("olmo")
    assert max(np.abs(keys).max() for keys in plain.projected) > plain.config.clip_qkv


@pytest.mark.parametrize("kind", WEIGHT_KINDS)
@pytest.mark.parametrize("case", CASES)
def test_attention_scores(case: str, kind: WeightKind, model: Any) -> None:
    folder, plain = model(case)
    weights = weights_of(folder, kind)
    keys = list(start_keys(weights, TOKEN))
    for layer in range(N_LAYERS - 1):
        directions = head_directions(weights, layer + 1, keys[layer + 1])
        w_out = torch.cat([block["out"] for _, block in weights.blocks(layer)])
        cosines = direction_cosines(unit_rows(w_out), directions).numpy()
        np.testing.assert_allclose(cosines, plain.cosines(layer, layer + 1, kind), atol=1e-5)


@pytest.mark.parametrize("kind", WEIGHT_KINDS)
@pytest.mark.parametrize("case", KNOWN)
def test_null_space_shares(case: str, kind: WeightKind, model: Any) -> None:
    folder, plain = model(case)
    weights = weights_of(folder, kind)
    basis = null_space(unembedding(weights), n_null_directions(weights.d_model))
    for layer in range(N_LAYERS):
        w_out = torch.cat([block["out"] for _, block in weights.blocks(layer)])
        shares = null_space_shares(unit_rows(w_out), basis).numpy()
        np.testing.assert_allclose(shares, plain.shares(layer, kind), atol=1e-5)


def test_half_precision_checkpoints_run_in_float32(tmp_path: Path) -> None:
    folder = build("qwen3", tmp_path, dtype=torch.bfloat16)
    plain = Plain.of(folder, TOKEN)
    for layer, key in enumerate(start_keys(weights_of(folder), TOKEN)):
        np.testing.assert_allclose(key.numpy(), plain.keys(layer), rtol=1e-4, atol=1e-5)


def test_a_start_token_without_embedding_is_refused(tmp_path: Path) -> None:
    weights = weights_of(build("llama", tmp_path))
    with pytest.raises(CheckpointError, match=r"start token has id 320, but .* has 320 rows"):
        next(start_keys(weights, 320))


def test_a_model_that_transformers_does_not_have_is_refused(tmp_path: Path) -> None:
    folder = build("llama", tmp_path)
    weights = weights_of(folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"model_type": "llama"', '"model_type": "novel"'))
    with pytest.raises(CheckpointError, match="transformers has no class for"):
        next(start_keys(weights, TOKEN))


def test_misshapen_queries_are_refused(tmp_path: Path) -> None:
    weights = weights_of(build("llama", tmp_path))
    weights.checkpoint.config["num_attention_heads"] = 8
    with pytest.raises(CheckpointError, match=r"q_proj.weight has shape \(32, 32\), expected"):
        queries(weights, 0)
