"""Every family: independent float64 values, and what hooks on the real model see."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

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
from tests.tiny_checkpoints import N_LAYERS, TINY, build, stack_experts

Matrix = NDArray[np.float64]
LAYER = 1


class Described(NamedTuple):
    """A family as its model's source has it, written by hand and independent of ingest/families.

    Paths within the model (`layers`, `final`) and within a layer; `offset` is added to a gain.
    """

    norm: str | None = "post_attention_layernorm"
    post_norm: str | None = None
    offset: float = 0.0
    layers: str = "model.layers"
    reads: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj")
    writes: str = "mlp.down_proj"
    final: str | None = "model.norm"
    layer_norm: bool = False
    conv1d: bool = False
    act: Callable[[Tensor], Tensor] = torch.nn.functional.silu
    n_key_heads: int = 2
    shared: str | None = None
    router: str | None = None

    @property
    def has_experts(self) -> bool:
        """Whether layer LAYER has experts, in the two stacks of `mlp.experts`."""
        return self.router is not None


def tanh_gelu(x: Tensor) -> Tensor:
    return torch.nn.functional.gelu(x, approximate="tanh")


GEMMA = Described(offset=1.0, act=tanh_gelu)
GEMMA2 = GEMMA._replace(norm="pre_feedforward_layernorm", post_norm="post_feedforward_layernorm")
OLMO2 = Described(norm=None, post_norm="post_feedforward_layernorm")
GPT2 = Described(
    norm="ln_2",
    layers="transformer.h",
    reads=("mlp.c_fc",),
    writes="mlp.c_proj",
    final="transformer.ln_f",
    layer_norm=True,
    conv1d=True,
    act=tanh_gelu,
    n_key_heads=4,
)
GPTJ = GPT2._replace(norm="ln_1", reads=("mlp.fc_in",), writes="mlp.fc_out", conv1d=False)
BLOOM = GPT2._replace(
    norm="post_attention_layernorm",
    reads=("mlp.dense_h_to_4h",),
    writes="mlp.dense_4h_to_h",
    conv1d=False,
)
OPT = Described(
    norm="final_layer_norm",
    layers="model.decoder.layers",
    reads=("fc1",),
    writes="fc2",
    final="model.decoder.final_layer_norm",
    layer_norm=True,
    act=torch.nn.functional.relu,
    n_key_heads=4,
)
FALCON = BLOOM._replace(norm="input_layernorm", act=torch.nn.functional.gelu, n_key_heads=1)
QWEN3_5 = Described(offset=1.0)
EXPERTS = Described(router="mlp.gate")
OF: dict[str, Described] = {
    "bloom": BLOOM,
    "codegen": GPTJ,
    "falcon": FALCON,
    "gemma": GEMMA,
    "gemma2": GEMMA2,
    "gemma3": GEMMA2._replace(
        layers="model.language_model.layers", final="model.language_model.norm"
    ),
    "gemma3_text": GEMMA2,
    "gemma4": GEMMA2._replace(
        layers="model.language_model.layers", final="model.language_model.norm", offset=0.0
    ),
    "gemma4_text": GEMMA2._replace(offset=0.0),
    "gpt2": GPT2,
    "gpt_neox": BLOOM._replace(
        layers="gpt_neox.layers",
        final="gpt_neox.final_layer_norm",
        act=torch.nn.functional.gelu,
    ),
    "gptj": GPTJ,
    "llama": Described(),
    "mistral": Described(),
    "mixtral": EXPERTS,
    "olmo": Described(norm=None, final=None, layer_norm=True),
    "olmo2": OLMO2,
    "olmo3": OLMO2,
    "olmoe": EXPERTS,
    "opt": OPT,
    "phi": Described(
        norm="input_layernorm",
        reads=("mlp.fc1",),
        writes="mlp.fc2",
        final="model.final_layernorm",
        layer_norm=True,
        act=tanh_gelu,
    ),
    "phi3": Described(reads=("mlp.gate_up_proj", "mlp.gate_up_proj")),
    "qwen2": Described(),
    "qwen2_moe": EXPERTS._replace(shared="mlp.shared_expert"),
    "qwen3": Described(),
    "qwen3_5": QWEN3_5,
    "qwen3_5_text": QWEN3_5,
    "qwen3_moe": EXPERTS,
    "smollm3": Described(),
    "starcoder2": Described(
        reads=("mlp.c_fc",), writes="mlp.c_proj", layer_norm=True, act=tanh_gelu
    ),
}
VARIANTS: dict[str, tuple[str, dict[str, Any], Described]] = {
    "falcon with two norms": (
        "falcon",
        {"new_decoder_architecture": True, "num_kv_heads": 2},
        FALCON._replace(norm="ln_mlp", n_key_heads=2),
    ),
    "falcon with one norm": (
        "falcon",
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
        FALCON._replace(n_key_heads=2),
    ),
    "falcon in sequence": (
        "falcon",
        {"parallel_attn": False, "multi_query": False, "alibi": True, "bias": True},
        FALCON._replace(norm="post_attention_layernorm", n_key_heads=4),
    ),
    "gpt_neox in sequence": ("gpt_neox", {"use_parallel_residual": False}, OF["gpt_neox"]),
    "opt without gains": ("opt", {"layer_norm_elementwise_affine": False}, OPT._replace(norm=None)),
    "gpt2 as wide as its stream": ("gpt2", {"n_inner": 32}, GPT2),
}
"""Checkpoints of a family whose config changes what is read: model type, config, description."""

CHECKPOINTS = {
    **{name: (name, {}, described) for name, described in OF.items()},
    **VARIANTS,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {
        name: build(model_type, root / name, **overrides)
        for name, (model_type, overrides, _) in CHECKPOINTS.items()
    }


def load_model(name: str, folder: Path) -> Any:
    import transformers

    auto = (
        transformers.AutoModelForImageTextToText
        if name == "gemma3"
        else transformers.AutoModelForCausalLM
    )
    return auto.from_pretrained(folder, dtype=torch.float32).eval()


def expected(name: str, folder: Path, kind: WeightKind) -> dict[str, Matrix]:
    """The vectors, W_U and W_E in float64, folded here by hand from the loaded model."""
    described = CHECKPOINTS[name][2]
    model = load_model(name, folder)
    layer = model.get_submodule(f"{described.layers}.{LAYER}")

    def array(tensor: Tensor) -> Matrix:
        return np.asarray(tensor.detach(), dtype=np.float64)

    def matrix(path: str) -> Matrix:
        """[out, in]."""
        stored = array(layer.get_submodule(path).weight)
        return stored.T if described.conv1d else stored

    def gain(module: Any) -> Matrix | float:
        return 1.0 if module.weight is None else array(module.weight) + described.offset

    paths = described.reads
    if described.has_experts:
        reads, out = of_experts(layer, described)
    elif len(set(paths)) < len(paths):
        reads = np.split(matrix(paths[0]), len(paths), axis=0)
    else:
        reads = [matrix(path) for path in paths]
    *gates, in_ = reads
    if not described.has_experts:
        out = matrix(described.writes).T
    unembedding = array(model.get_output_embeddings().weight)
    embedding = array(model.get_input_embeddings().weight)
    if kind != "raw":
        if described.norm is not None:
            of_norm = gain(layer.get_submodule(described.norm))
            gates, in_ = [gate * of_norm for gate in gates], in_ * of_norm
        if described.final is not None:
            unembedding = unembedding * gain(model.get_submodule(described.final))
        if described.layer_norm:
            in_, out, unembedding, embedding = map(centred, (in_, out, unembedding, embedding))
        unembedding = unembedding - unembedding.mean(axis=0)
    if kind == "effective":
        if described.post_norm is not None:
            out = out * gain(layer.get_submodule(described.post_norm))
        if described.layer_norm:
            gates = [centred(gate) for gate in gates]
    vectors = {"gate": gates[0]} if gates else {}
    return {**vectors, "in": in_, "out": out, "W_U": unembedding, "W_E": embedding}


def of_experts(layer: Any, described: Described) -> tuple[list[Matrix], Matrix]:
    """w_gate, w_in, and w_out of all experts of a layer, the shared one last."""
    experts = layer.get_submodule("mlp.experts")
    read, written = (
        np.asarray(each.detach(), np.float64) for each in (experts.gate_up_proj, experts.down_proj)
    )
    gates, ins = np.split(read, 2, axis=1)
    found = [np.concatenate(each) for each in (gates, ins, written.transpose(0, 2, 1))]
    if described.shared is not None:
        gate, in_, down = (
            np.asarray(
                layer.get_submodule(f"{described.shared}.{name}").weight.detach(), np.float64
            )
            for name in ("gate_proj", "up_proj", "down_proj")
        )
        found = [np.concatenate(pair) for pair in zip(found, (gate, in_, down.T), strict=True)]
    return found[:2], found[2]


def centred(rows: Matrix) -> Matrix:
    return np.asarray(rows - rows.mean(axis=1, keepdims=True), dtype=np.float64)


def cosine(a: Matrix, b: Matrix) -> Matrix:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / lengths, dtype=np.float64)


def test_every_family_has_a_tiny_checkpoint_and_an_oracle() -> None:
    assert set(FAMILIES) == set(TINY), "give the new family a tiny model in tests/tiny_checkpoints"
    assert set(FAMILIES) == set(OF), "describe the new family in this file"


@pytest.mark.parametrize("kind", WEIGHT_KINDS)
@pytest.mark.parametrize("name", sorted(CHECKPOINTS))
def test_weights_equal_the_oracle(name: str, kind: WeightKind, folders: dict[str, Path]) -> None:
    weights = NeuronVectors(open_checkpoint(str(folders[name])), kind)
    block = weights.block(LAYER, 5, 29)
    oracle = expected(name, folders[name], kind)

    assert tuple(block) == weights.vectors == tuple(v for v in VECTORS if v in oracle)
    for vector, ours in block.items():
        assert ours.dtype == torch.float32
        np.testing.assert_allclose(ours.numpy(), oracle[vector][5:29], atol=1e-6, err_msg=vector)
    np.testing.assert_allclose(unembedding(weights).numpy(), oracle["W_U"], atol=1e-6)
    np.testing.assert_allclose(embedding(weights).numpy(), oracle["W_E"], atol=1e-6)
    vectors = [oracle[vector][5:29] for vector in block]
    reference = np.stack([cosine(a, b) for a, b in combinations(vectors, 2)], axis=1)
    np.testing.assert_allclose(cosines(gram(block), weights.vectors), reference, atol=1e-6)


DENSE = sorted(name for name, (_, _, each) in CHECKPOINTS.items() if not each.has_experts)
SPARSE = sorted(name for name, (_, _, each) in CHECKPOINTS.items() if each.has_experts)


@pytest.mark.parametrize("name", DENSE)
def test_orientation_agrees_with_the_forward_pass(name: str, folders: dict[str, Path]) -> None:
    described = CHECKPOINTS[name][2]
    model = load_model(name, folders[name])
    layer = model.get_submodule(f"{described.layers}.{LAYER}")
    seen: dict[str, Tensor] = {}

    def keep(at: str) -> Callable[..., None]:
        def hook(_: Any, inputs: tuple[Tensor], output: Tensor) -> None:
            # Falcon adds to what its MLP put out.
            seen.update({f"{at} reads": inputs[0], f"{at} gives": output.clone()})

        return hook

    for path in {*described.reads, described.writes}:
        layer.get_submodule(path).register_forward_hook(keep(path))
    with torch.no_grad():
        model(input_ids=torch.tensor([[0, 7, 300, 12, 99]]))

    weights = NeuronVectors(open_checkpoint(str(folders[name])), "raw")
    block = weights.block(LAYER, 0, weights.d_mlp)
    x, y = seen[f"{described.reads[-1]} reads"], seen[f"{described.writes} gives"]
    post = seen[f"{described.writes} reads"]
    in_ = x @ block["in"].T
    if "gate" in block:
        made = described.act(x @ block["gate"].T) * in_
    else:
        made = described.act(in_ + bias(layer, described.reads[0]))
    torch.testing.assert_close(made, post, rtol=1e-5, atol=1e-5)
    written = post @ block["out"] + bias(layer, described.writes)
    torch.testing.assert_close(written, y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SPARSE)
def test_experts_agree_with_the_forward_pass(name: str, folders: dict[str, Path]) -> None:
    model = load_model(name, folders[name])
    model.set_experts_implementation("eager")
    layer = model.get_submodule(f"model.layers.{LAYER}")
    seen: list[Tensor] = []
    layer.mlp.experts.register_forward_hook(
        lambda _, inputs, output: seen.extend([*inputs, output])
    )
    with torch.no_grad():
        model(input_ids=torch.tensor([[0, 7, 300, 12, 99]]))
    x, chosen, router, written = seen
    weights = NeuronVectors(open_checkpoint(str(folders[name])), "raw")
    total = torch.zeros_like(written)
    for part in weights.parts(LAYER):
        block = weights.block(LAYER, part.first, part.stop)
        made = torch.nn.functional.silu(x @ block["gate"].T) * (x @ block["in"].T)
        share = (router * (chosen == part.expert)).sum(dim=1, keepdim=True)
        total += share * (made @ block["out"])
    torch.testing.assert_close(total, written, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", WEIGHT_KINDS)
@pytest.mark.parametrize("name", SPARSE)
def test_stacks_of_experts_read_as_experts_apart(
    name: str, kind: WeightKind, folders: dict[str, Path], tmp_path: Path
) -> None:
    stacked = stack_experts(folders[name], tmp_path)
    here = NeuronVectors(open_checkpoint(str(folders[name])), kind)
    there = NeuronVectors(open_checkpoint(str(stacked)), kind)
    assert there.family.experts is not None
    assert there.family.experts.layout.stacked
    assert here.sizes == there.sizes
    for layer in range(N_LAYERS):
        for (first, ours), (same, theirs) in zip(
            here.blocks(layer, size=7), there.blocks(layer, size=7), strict=True
        ):
            assert first == same
            assert all(torch.equal(ours[vector], theirs[vector]) for vector in VECTORS)


def test_blocks_end_where_an_expert_does(folders: dict[str, Path]) -> None:
    weights = NeuronVectors(open_checkpoint(str(folders["qwen2_moe"])), "folded")
    starts = [start for start, _ in weights.blocks(LAYER, size=20)]
    assert starts == [0, 20, 24, 44, 48, 68, 72, 92, 96, 116, 120, 140]
    assert [weights.sizes.of_layer(layer) for layer in range(N_LAYERS)] == [160, 160, 48]


def bias(layer: Any, path: str) -> Tensor | float:
    of_module = layer.get_submodule(path).bias
    return 0.0 if of_module is None else of_module.detach()


@pytest.mark.parametrize("name", sorted(CHECKPOINTS))
def test_dimensions_heads_and_attention_names(name: str, folders: dict[str, Path]) -> None:
    model_type, _, described = CHECKPOINTS[name]
    checkpoint = open_checkpoint(str(folders[name]))
    weights = NeuronVectors(checkpoint, "folded")
    shape = (weights.n_layers, weights.d_model, weights.d_vocab)
    assert shape == (N_LAYERS, 32, 320)
    family = family_of(checkpoint)
    attention = family.attention
    if attention is None:
        assert family.name in ("Qwen 3.5", "Gemma 4")
        return
    queries, keys, length = family.heads(checkpoint.config)
    assert (queries, keys) == (4, described.n_key_heads)
    rows = queries * length + (2 * keys * length if attention.fused else 0)
    stored = checkpoint.shape(family.weight(attention.query, LAYER))
    assert stored == ((32, rows) if described.conv1d else (rows, 32))
    if attention.query_norm is not None:
        gains = length if attention.norm_per_head else queries * length
        assert checkpoint.shape(family.weight(attention.query_norm, LAYER)) == (gains,)
    if attention.input_norm is not None and family.gain != "one":
        assert family.weight(attention.input_norm, LAYER) in checkpoint
    biased = family.bias(attention.query, LAYER) in checkpoint
    expected = {"bloom", "gpt2", "gpt_neox", "opt", "phi", "qwen2", "qwen2_moe", "starcoder2"}
    assert biased == (model_type in expected or name == "falcon in sequence")


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


def test_gemma_4_with_an_embedding_for_each_layer_is_raw_only(tmp_path: Path) -> None:
    folder = build(
        "gemma4_text", tmp_path, hidden_size_per_layer_input=8, vocab_size_per_layer_input=320
    )
    with pytest.raises(CheckpointError, match="reads an embedding of its own as well"):
        NeuronVectors(open_checkpoint(str(folder)), "folded")
    assert NeuronVectors(open_checkpoint(str(folder)), "raw").d_mlp == 48


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


def test_an_unknown_mlp_is_refused_with_what_is_supported(tmp_path: Path) -> None:
    import transformers

    config = transformers.BertConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"no MLP that.*bert.*gemma2.*gpt2.*llama"):
        family_of(open_checkpoint(str(tmp_path)))


def test_files_of_gpt2_without_a_prefix_read_the_same(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folders["gpt2"] / "model.safetensors")
    moved = {name.removeprefix("transformer."): t.clone() for name, t in tensors.items()}
    save_file(moved, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((folders["gpt2"] / "config.json").read_bytes())
    here = NeuronVectors(open_checkpoint(str(tmp_path)), "folded").block(0, 0, 4)
    there = NeuronVectors(open_checkpoint(str(folders["gpt2"])), "folded").block(0, 0, 4)
    assert all(torch.equal(here[vector], there[vector]) for vector in here)


def test_opt_with_norms_after_its_blocks_is_read_raw_only(tmp_path: Path) -> None:
    """OPT-350m: its embedding is narrower than its stream, too."""
    folder = build("opt", tmp_path, do_layer_norm_before=False, word_embed_proj_dim=16)
    checkpoint = open_checkpoint(str(folder))
    with pytest.raises(CheckpointError, match=r"folded weights: its norms come after.*raw"):
        NeuronVectors(checkpoint, "folded")
    weights = NeuronVectors(checkpoint, "raw")
    model = load_model("opt", folder)
    decoder = model.model.decoder
    block = weights.block(LAYER, 0, weights.d_mlp)
    assert torch.equal(block["in"], decoder.layers[LAYER].fc1.weight)
    with torch.no_grad():
        projected = decoder.project_in(decoder.embed_tokens.weight)
        torch.testing.assert_close(embedding(weights), projected)
        stream = torch.randn(3, 32)
        logits = model.lm_head(decoder.project_out(stream))
        torch.testing.assert_close(stream @ unembedding(weights).T, logits)


@pytest.mark.parametrize(
    ("config_class", "said"),
    [
        ("GptOssConfig", r"model type gpt_oss.*clamp gate and up.*takes mixtral, olmoe, qwen2_moe"),
        ("Glm4MoeConfig", r"mixture of experts \(model type glm4_moe\); of those.*olmoe"),
    ],
)
def test_experts_without_a_family_are_refused_by_name(
    config_class: str, said: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    import transformers

    config = getattr(transformers, config_class)(num_hidden_layers=1)
    config.save_pretrained(tmp_path)
    tensors = (folders["llama"] / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(tensors)
    with pytest.raises(CheckpointError, match=said):
        family_of(open_checkpoint(str(tmp_path)))


def test_a_mixture_all_of_whose_layers_are_dense_is_a_dense_model(tmp_path: Path) -> None:
    folder = build("qwen3_moe", tmp_path, mlp_only_layers=[0, 1, 2])
    weights = NeuronVectors(open_checkpoint(str(folder)), "folded")
    assert (weights.sizes.n_experts, weights.d_mlp) == (0, 48)
