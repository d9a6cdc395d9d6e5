"""Norms and cosines of a neuron's three vectors, from one Gram product (DESIGN section 1)."""

import torch
from jaxtyping import Float
from torch import Tensor

from catalog.ingest.gated_weights import MlpBlock

_CHUNK = 128
# Squares of float32 keep full precision between these; outside, float64 is used instead.
_SMALLEST_SQUARE, _LARGEST_SQUARE = 1e-20, 1e30


def gram(block: MlpBlock) -> Float[Tensor, "n 6"]:
    """Inner products of each neuron's vectors, float64.

    Columns: squared norms of w_gate, w_in, w_out, then gate·in, gate·out, in·out. They are summed
    in float32 (cosines agree with float64 to 1e-6), except for vectors so short or long that their
    squares would leave float32's range: those neurons are redone in float64.
    """
    # Chunks small enough that the six products of a chunk find it in the cache.
    chunks = [slice(i, i + _CHUNK) for i in range(0, len(block.w_gate), _CHUNK)]
    products = torch.cat([_inner_products(*_take(block, chunk)) for chunk in chunks]).double()
    squares = products[:, :3]
    in_range = (squares >= _SMALLEST_SQUARE) & (squares <= _LARGEST_SQUARE)
    redo = (~in_range.all(dim=1)).nonzero().squeeze(1)
    for chunk in chunks:
        some = redo[chunk]
        products[some] = _inner_products(*(part.double() for part in _take(block, some)))
    return products


def cosines(gram: Float[Tensor, "n 6"]) -> Float[Tensor, "n 3"]:
    """cos(gate,in), cos(gate,out), cos(in,out), float32 in [-1, 1].

    NaN where a vector of the pair has norm zero or a non-finite value; the table stores NULL.
    """
    lengths = gram[:, :3].sqrt()
    first, second = lengths[:, [0, 0, 1]], lengths[:, [1, 2, 2]]
    # Divided one by one, because the product of two short lengths can underflow.
    values = (gram[:, 3:] / first / second).clamp(-1.0, 1.0)
    defined = (first > 0) & (second > 0) & first.isfinite() & second.isfinite()
    return values.where(defined, torch.nan).float()


def norms(gram: Float[Tensor, "n 6"]) -> Float[Tensor, "n 3"]:
    """Norms of w_gate, w_in and w_out, float32; NaN for a vector with a non-finite value."""
    lengths = gram[:, :3].sqrt()
    return lengths.where(lengths.isfinite(), torch.nan).float()


def _take(block: MlpBlock, neurons: slice | Tensor) -> MlpBlock:
    return MlpBlock(block.w_gate[neurons], block.w_in[neurons], block.w_out[neurons])


def _inner_products(
    gate: Float[Tensor, "n d_model"],
    in_: Float[Tensor, "n d_model"],
    out: Float[Tensor, "n d_model"],
) -> Float[Tensor, "n 6"]:
    pairs = ((gate, gate), (in_, in_), (out, out), (gate, in_), (gate, out), (in_, out))
    return torch.stack([torch.linalg.vecdot(a, b) for a, b in pairs], dim=1)
