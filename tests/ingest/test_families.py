"""Every family: independent float64 values, and what hooks on the real model see."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from catalog.errors import CheckpointError
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.families import FAMILIES, family_of
from catalog.ingest.geometry import cosines, gram
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.vocabulary_matrices import embedding, unembedding
from catalog.taxonomy import VECTORS, WEIGHT_KINDS, WeightKind
from tests.tiny_checkpoints import N_LAYERS, TINY, build

Matrix = NDArray[np.float64]
LAYER = 1

# Written by hand from the models' sources, independent of ingest/families: the MLP's norm, the
# norm after the MLP, what is added to a gain.
NORMS: dict[str, tuple[str | None, str | None, float]] = {
    "gemma": ("post_attention_layernorm", None, 1.0),
    "gemma2": ("pre_feedforward_layernorm", "post_feedforward_layernorm", 1.0),
    "gemma3": ("pre_feedforward_layernorm", "post_feedforward_layernorm", 1.0),
    "gemma3_text": ("pre_feedforward_layernorm", "post_feedforward_layernorm", 1.0),
    "llama": ("post_attention_layernorm", None, 0.0),
    "mistral": ("post_attention_layernorm", None, 0.0),
    "olmo": (None, None, 0.0),
    "olmo2": (None, "post_feedforward_layernorm", 0.0),
    "olmo3": (None, "post_feedforward_layernorm", 0.0),
    "phi3": ("post_attention_layernorm", None, 0.0),
    "qwen2": ("post_attention_layernorm", None, 0.0),
    "qwen3": ("post_attention_layernorm", None, 0.0),
    "smollm3": ("post_attention_layernorm", None, 0.0),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: build(name, root / name) for name in TINY}


def load_model(model_type: str, folder: Path) -> Any:
    import transformers

    auto = (
        transformers.AutoModelForImageTextToText
        if model_type == "gemma3"
        else transformers.AutoModelForCausalLM
    )
    return auto.from_pretrained(folder, dtype=torch.float32).eval()


def decoder_of(model: Any) -> Any:
    inner = model.model
    return getattr(inner, "language_model", inner)


def expected(model_type: str, folder: Path, kind: WeightKind) -> dict[str, Matrix]:
    """Gate, in, out, W_U and W_E in float64, folded here by hand from the loaded model."""
    model = load_model(model_type, folder)
    layer = decoder_of(model).layers[LAYER]
    mlp_norm, post_norm, offset = NORMS[model_type]

    def array(tensor: Tensor) -> Matrix:
        return np.asarray(tensor.detach(), dtype=np.float64)

    def gain(module: Any) -> Matrix:
        return np.asarray(array(module.weight) + offset, dtype=np.float64)

    if model_type == "phi3":
        gate, in_ = np.split(array(layer.mlp.gate_up_proj.weight), 2, axis=0)
    else:
        gate, in_ = array(layer.mlp.gate_proj.weight), array(layer.mlp.up_proj.weight)
    out = array(layer.mlp.down_proj.weight).T
    unembedding = array(model.get_output_embeddings().weight)
    embedding = array(model.get_input_embeddings().weight)
    if kind != "raw":
        if mlp_norm is not None:
            gate, in_ = (w * gain(getattr(layer, mlp_norm)) for w in (gate, in_))
        if model_type == "olmo":
            in_, out, unembedding, embedding = map(centred, (in_, out, unembedding, embedding))
        else:
            unembedding = unembedding * gain(decoder_of(model).norm)
        unembedding = unembedding - unembedding.mean(axis=0)
    if kind == "effective":
        if post_norm is not None:
            out = out * gain(getattr(layer, post_norm))
        if model_type == "olmo":
            gate = centred(gate)
    return {"gate": gate, "in": in_, "out": out, "W_U": unembedding, "W_E": embedding}


def centred(rows: Matrix) -> Matrix:
    return np.asarray(rows - rows.mean(axis=1, keepdims=True), dtype=np.float64)


def cosine(a: Matrix, b: Matrix) -> Matrix:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / lengths, dtype=np.float64)


def test_every_family_has_a_tiny_checkpoint_and_an_oracle() -> None:
    assert set(FAMILIES) == set(TINY), "give the new family a tiny model in tests/tiny_checkpoints"
    assert set(FAMILIES) == set(NORMS), "give the new family its norms in this file"


@pytest.mark.parametrize("kind", WEIGHT_KINDS)
@pytest.mark.parametrize("model_type", sorted(TINY))
def test_weights_equal_the_oracle(
    model_type: str, kind: WeightKind, folders: dict[str, Path]
) -> None:
    weights = NeuronVectors(open_checkpoint(str(folders[model_type])), kind)
    block = weights.block(LAYER, 5, 41)
    oracle = expected(model_type, folders[model_type], kind)

    assert tuple(block) == VECTORS
    for name, ours in block.items():
        assert ours.dtype == torch.float32
        np.testing.assert_allclose(ours.numpy(), oracle[name][5:41], atol=1e-6, err_msg=name)
    np.testing.assert_allclose(unembedding(weights).numpy(), oracle["W_U"], atol=1e-6)
    np.testing.assert_allclose(embedding(weights).numpy(), oracle["W_E"], atol=1e-6)
    gate, in_, out = (oracle[name][5:41] for name in ("gate", "in", "out"))
    reference = np.stack([cosine(gate, in_), cosine(gate, out), cosine(in_, out)], axis=1)
    np.testing.assert_allclose(cosines(gram(block), VECTORS).numpy(), reference, atol=1e-6)


@pytest.mark.parametrize("model_type", sorted(TINY))
def test_orientation_agrees_with_the_forward_pass(
    model_type: str, folders: dict[str, Path]
) -> None:
    model = load_model(model_type, folders[model_type])
    mlp = decoder_of(model).layers[LAYER].mlp
    seen: dict[str, Tensor] = {}
    mlp.register_forward_hook(lambda _, i, o: seen.update(x=i[0][0], y=o[0]))
    mlp.down_proj.register_forward_hook(lambda _, i, o: seen.update(post=i[0][0]))
    with torch.no_grad():
        model(input_ids=torch.tensor([[0, 7, 300, 12, 99]]))

    weights = NeuronVectors(open_checkpoint(str(folders[model_type])), "raw")
    block = weights.block(LAYER, 0, weights.d_mlp)
    gate = seen["x"] @ block["gate"].T
    if model_type.startswith("gemma"):
        assert weights.activation_fn == "gelu_pytorch_tanh"
        activated = torch.nn.functional.gelu(gate, approximate="tanh")
    else:
        assert weights.activation_fn == "silu"
        activated = torch.nn.functional.silu(gate)
    post = activated * (seen["x"] @ block["in"].T)
    torch.testing.assert_close(post, seen["post"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen["post"] @ block["out"], seen["y"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model_type", sorted(TINY))
def test_dimensions_heads_and_attention_names(model_type: str, folders: dict[str, Path]) -> None:
    checkpoint = open_checkpoint(str(folders[model_type]))
    weights = NeuronVectors(checkpoint, "folded")
    shape = (weights.n_layers, weights.d_model, weights.d_mlp, weights.d_vocab)
    assert shape == (N_LAYERS, 32, 48, 320)
    family = family_of(checkpoint)
    attention = family.attention
    assert attention is not None
    queries, keys, length = family.heads(checkpoint.config)
    assert (queries, keys) == (4, 2)
    rows = queries * length + (2 * keys * length if attention.fused else 0)
    assert checkpoint.shape(family.weight(attention.query, LAYER)) == (rows, 32)
    if attention.query_norm is not None:
        gains = length if attention.norm_per_head else queries * length
        assert checkpoint.shape(family.weight(attention.query_norm, LAYER)) == (gains,)
    if attention.input_norm is not None and family.gain != "one":
        assert family.weight(attention.input_norm, LAYER) in checkpoint
    biased = family.bias(attention.query, LAYER) in checkpoint
    assert biased == (model_type == "qwen2")


def test_settings_left_out_of_the_config_are_the_models_own_defaults() -> None:
    # The released Gemma 3 configs leave out head counts and activation.
    config = {"model_type": "gemma3", "text_config": {"num_hidden_layers": 3}}
    assert FAMILIES["gemma3"].heads(config) == (8, 4, 256)
    assert FAMILIES["gemma3"].activation_fn(config) == "gelu_pytorch_tanh"
    assert FAMILIES["gemma"].activation_fn({"hidden_act": "gelu"}) == "gelu_pytorch_tanh"


def test_the_older_prefix_of_gemma_3_with_vision(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folders["gemma3"] / "model.safetensors")
    moved = {
        name.replace("model.language_model.", "language_model.model."): t.clone()
        for name, t in tensors.items()
    }
    save_file(moved, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((folders["gemma3"] / "config.json").read_bytes())
    here = NeuronVectors(open_checkpoint(str(tmp_path)), "folded").block(0, 0, 4)
    there = NeuronVectors(open_checkpoint(str(folders["gemma3"])), "folded").block(0, 0, 4)
    assert all(torch.equal(here[vector], there[vector]) for vector in VECTORS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_shards_read_the_same(dtype: torch.dtype, tmp_path: Path) -> None:
    one = build("llama", tmp_path / "one", dtype=dtype)
    many = build("llama", tmp_path / "many", dtype=dtype, max_shard_size="20KB")
    assert len(list(many.glob("*.safetensors"))) > 1
    blocks = [
        NeuronVectors(open_checkpoint(str(folder)), "folded").block(LAYER, 3, 20)
        for folder in (one, many)
    ]
    assert all(torch.equal(blocks[0][vector], blocks[1][vector]) for vector in VECTORS)
    reference = expected("llama", one, "folded")
    np.testing.assert_allclose(blocks[0]["gate"].numpy(), reference["gate"][3:20], atol=1e-6)


def _rename_model_type(folder: Path, model_type: str) -> None:
    path = folder / "config.json"
    text = path.read_text().replace('"model_type": "llama"', f'"model_type": "{model_type}"')
    path.write_text(text.replace('"model_type": "phi3"', f'"model_type": "{model_type}"'))


@pytest.mark.parametrize("like", ["llama", "phi3"])
def test_an_unknown_dense_architecture_is_read_raw_only(like: str, tmp_path: Path) -> None:
    build(like, tmp_path)
    raw = NeuronVectors(open_checkpoint(str(tmp_path)), "raw").block(LAYER, 0, 48)
    _rename_model_type(tmp_path, "novel")
    checkpoint = open_checkpoint(str(tmp_path))
    unknown = NeuronVectors(checkpoint, "raw")
    assert unknown.family.name == "novel"
    block = unknown.block(LAYER, 0, 48)
    assert all(torch.equal(block[vector], raw[vector]) for vector in VECTORS)
    assert unembedding(unknown).shape == (320, 32)
    with pytest.raises(CheckpointError, match=r"novel.*llama.*weights=.raw. only"):
        NeuronVectors(checkpoint, "folded")


def test_no_gate_is_refused_with_what_is_supported(tmp_path: Path) -> None:
    import transformers

    config = transformers.GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"no gated MLP.*gpt2.*gemma2.*llama"):
        family_of(open_checkpoint(str(tmp_path)))


def test_experts_are_refused_by_name(tmp_path: Path) -> None:
    import transformers

    config = transformers.MixtralConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=2,
    )
    transformers.MixtralForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"mixture of experts.*mixtral"):
        family_of(open_checkpoint(str(tmp_path)))
