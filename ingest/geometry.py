"""Norms and cosines of a neuron's vectors, from their inner products (docs/definitions.md)."""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from catalog.ingest.neuron_vectors import Block
from catalog.taxonomy import Vector

_CHUNK = 128
# Squares of float32 keep full precision between these; outside, float64 is used instead.
_SMALLEST_SQUARE, _LARGEST_SQUARE = 1e-20, 1e30


def pairs(vectors: tuple[Vector, ...]) -> list[tuple[Vector, Vector]]:
    """Every two vectors of a neuron, in the order of `cosines`."""
    return list(combinations(vectors, 2))


def gram(block: Block) -> Float[Tensor, "n products"]:
    """Inner products of each neuron's vectors, float64.

    Columns: the squared norm of each vector, then the product of each pair. They are summed in
    float32 (cosines agree with float64 to 1e-6), except for vectors so short or long that their
    squares would leave float32's range: those neurons are redone in float64.
    """
    n_neurons = len(block["out"])
    # Chunks small enough that the products of a chunk find it in the cache.
    chunks = [slice(i, i + _CHUNK) for i in range(0, n_neurons, _CHUNK)]
    products = torch.cat([_inner_products(_take(block, chunk)) for chunk in chunks]).double()
    squares = products[:, : len(block)]
    in_range = (squares >= _SMALLEST_SQUARE) & (squares <= _LARGEST_SQUARE)
    redo = (~in_range.all(dim=1)).nonzero().squeeze(1)
    for chunk in chunks:
        some = redo[chunk]
        in_float64 = {vector: values.double() for vector, values in _take(block, some).items()}
        products[some] = _inner_products(in_float64)
    return products


def cosines(gram: Float[Tensor, "n products"], vectors: tuple[Vector, ...]) -> Float[Tensor, "n m"]:
    """The cosine of each of the m pairs, float32 in [-1, 1].

    NaN where a vector of the pair has norm zero or a non-finite value; the table stores NULL.
    """
    lengths = gram[:, : len(vectors)].sqrt()
    at = [[vectors.index(vector) for vector in pair] for pair in pairs(vectors)]
    first, second = lengths[:, [i for i, _ in at]], lengths[:, [j for _, j in at]]
    # Divided one by one, because the product of two short lengths can underflow.
    values = (gram[:, len(vectors) :] / first / second).clamp(-1.0, 1.0)
    defined = (first > 0) & (second > 0) & first.isfinite() & second.isfinite()
    return values.where(defined, torch.nan).float()


def between(block: Block, other: Block) -> Float[Tensor, "n k"]:
    """Cosine of each of the k vectors of a neuron with the same one in another block, float32.

    NaN as for `cosines`.
    """
    pair: tuple[Vector, Vector] = ("in", "out")
    columns = [
        cosines(gram(dict(zip(pair, (block[vector], other[vector]), strict=True))), pair)
        for vector in block
    ]
    return torch.cat(columns, dim=1)


def norms(gram: Float[Tensor, "n products"], vectors: tuple[Vector, ...]) -> Float[Tensor, "n k"]:
    """Norms of the k vectors, float32; NaN for a vector with a non-finite value."""
    lengths = gram[:, : len(vectors)].sqrt()
    return lengths.where(lengths.isfinite(), torch.nan).float()


def _take(block: Block, neurons: slice | Tensor) -> Block:
    return {vector: values[neurons] for vector, values in block.items()}


def _inner_products(block: Block) -> Float[Tensor, "n products"]:
    vectors = tuple(block)
    products = [(vector, vector) for vector in vectors] + pairs(vectors)
    return torch.stack([torch.linalg.vecdot(block[a], block[b]) for a, b in products], dim=1)
