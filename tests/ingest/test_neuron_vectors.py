"""Blocks and the geometry computed from them: precision, invariances, damaged vectors."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from catalog.errors import CheckpointError
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.geometry import cosines, gram, norms, pairs
from catalog.ingest.neuron_vectors import Block, NeuronVectors
from catalog.ingest.vocabulary_matrices import unembedding
from catalog.taxonomy import VECTORS, Vector
from tests.tiny_checkpoints import build


def random_block(n: int, d_model: int, seed: int = 0) -> Block:
    generator = torch.Generator().manual_seed(seed)
    gate, in_, noise = torch.randn(3, n, d_model, generator=generator)
    return {"gate": gate, "in": in_, "out": 0.7 * gate - 0.4 * in_ + 0.5 * noise}


def reference(block: Block) -> Tensor:
    gate, in_, out = (block[vector].double() for vector in VECTORS)
    cosine = torch.nn.functional.cosine_similarity
    return torch.stack(
        [cosine(a, b, eps=0.0) for a, b in ((gate, in_), (gate, out), (in_, out))], dim=1
    )


@pytest.mark.parametrize("d_model", [1, 64, 8192])
def test_cosines_and_norms_agree_with_float64(d_model: int) -> None:
    block = random_block(300, d_model)
    products = gram(block)
    assert products.shape == (300, 6)
    np.testing.assert_allclose(cosines(products, VECTORS), reference(block), atol=1e-6)
    expected = torch.stack([vectors.double().norm(dim=1) for vectors in block.values()], dim=1)
    np.testing.assert_allclose(norms(products, VECTORS), expected, rtol=1e-6)


def test_vectors_with_a_common_offset_keep_their_precision() -> None:
    # Large equal entries make the sums of float32 squares lose the most.
    block: Block = {name: vectors + 30.0 for name, vectors in random_block(64, 8192).items()}
    np.testing.assert_allclose(cosines(gram(block), VECTORS), reference(block), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1e-12, 1e12, 1e25, 1e36])
def test_vectors_of_extreme_length(scale: float) -> None:
    block = random_block(8, 64)
    mixed: Block = {
        "gate": block["gate"] * scale,
        "in": block["in"],
        "out": block["out"] * scale,
    }
    np.testing.assert_allclose(cosines(gram(mixed), VECTORS), reference(mixed), atol=1e-6)
    assert norms(gram(mixed), VECTORS).isfinite().all()


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    scales=st.tuples(*[st.floats(1e-20, 1e20)] * 3),
    flip=st.booleans(),
)
def test_scaling_and_flipping_in_and_out_together(
    seed: int, scales: tuple[float, float, float], flip: bool
) -> None:
    block = random_block(4, 16, seed)
    sign = -1.0 if flip else 1.0
    signs = (1.0, sign, sign)
    changed: Block = {
        name: vectors * scale * sign_
        for (name, vectors), scale, sign_ in zip(block.items(), scales, signs, strict=True)
    }
    expected = cosines(gram(block), VECTORS) * torch.tensor([sign, sign, 1.0])
    np.testing.assert_allclose(cosines(gram(changed), VECTORS), expected, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("vector", VECTORS)
def test_a_damaged_vector_has_no_cosines_and_touches_no_other(value: float, vector: Vector) -> None:
    block = random_block(300, 32)
    untouched = cosines(gram(block), VECTORS)
    block[vector][150] = value
    products = gram(block)
    undefined = cosines(products, VECTORS).isnan()
    assert undefined[150].tolist() == [vector in pair for pair in pairs(VECTORS)]
    assert int(undefined.sum()) == 2
    assert torch.equal(cosines(products, VECTORS)[:150], untouched[:150])
    assert torch.equal(cosines(products, VECTORS)[151:], untouched[151:])
    length = norms(products, VECTORS)[150, VECTORS.index(vector)]
    assert length == 0 if value == 0 else length.isnan()


def test_one_infinite_entry_is_enough() -> None:
    block = random_block(3, 32)
    block["in"][1, 7] = -math.inf
    assert cosines(gram(block), VECTORS).isnan().tolist() == [
        [False] * 3,
        [True, False, True],
        [False] * 3,
    ]


def test_parallel_vectors_stay_within_one() -> None:
    gate = torch.full((1, 3), 0.1)
    block: Block = {"gate": gate, "in": gate * 3, "out": -gate * 7}
    assert cosines(gram(block), VECTORS).tolist() == [[1.0, -1.0, -1.0]]


def cosines_of(folder: Path) -> Tensor:
    block = NeuronVectors(open_checkpoint(str(folder)), "folded").block(0, 0, 48)
    return cosines(gram(block), VECTORS)


@pytest.mark.parametrize("model_type", ["llama", "olmo", "phi3"])
def test_a_damaged_tensor_leaves_the_other_neurons(model_type: str, tmp_path: Path) -> None:
    folder = build(model_type, tmp_path)
    clean = cosines_of(folder)
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    tensors["model.layers.0.mlp.down_proj.weight"][3, 10] = math.nan
    save_file(tensors, path)
    damaged = cosines_of(folder)
    assert damaged[10].isnan().tolist() == [False, True, True]
    others = torch.arange(48) != 10
    assert torch.equal(damaged[others], clean[others])


@pytest.mark.parametrize("size", [7, 48, 100])
def test_blocks_cover_the_layer_once(size: int, tmp_path: Path) -> None:
    weights = NeuronVectors(open_checkpoint(str(build("gemma2", tmp_path))), "effective")
    whole = weights.block(1, 0, 48)
    starts, blocks = zip(*weights.blocks(1, size=size), strict=True)
    assert list(starts) == list(range(0, 48, size))
    for vector in VECTORS:
        assert torch.equal(torch.cat([block[vector] for block in blocks]), whole[vector])


def test_writing_into_a_block_leaves_the_checkpoint(tmp_path: Path) -> None:
    weights = NeuronVectors(open_checkpoint(str(build("llama", tmp_path))), "raw")
    for vectors in weights.block(0, 0, 4).values():
        vectors.zero_()
    unembedding(weights).zero_()
    assert all(vectors.abs().sum() > 0 for vectors in weights.block(0, 0, 4).values())
    assert unembedding(weights).abs().sum() > 0


@pytest.mark.parametrize("kind", ["folded", "raw"])
def test_non_finite_unembedding_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    folder = build("llama", tmp_path)
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    tensors["lm_head.weight"][300, 4] = math.inf
    save_file(tensors, path)
    weights = NeuronVectors(open_checkpoint(str(folder)), kind)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"tensor lm_head\.weight .*NaN or infinite"):
        unembedding(weights)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("model_type", ["gemma3", "olmo", "phi3"])
def test_cuda_agrees_with_the_cpu(model_type: str, tmp_path: Path) -> None:
    weights = NeuronVectors(open_checkpoint(str(build(model_type, tmp_path))), "effective")
    here, there = weights.block(1, 0, 48), weights.block(1, 0, 48, "cuda")
    torch.testing.assert_close(cosines(gram(there), VECTORS).cpu(), cosines(gram(here), VECTORS))
    torch.testing.assert_close(unembedding(weights, "cuda").cpu(), unembedding(weights))
