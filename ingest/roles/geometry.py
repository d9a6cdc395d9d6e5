"""Directions in the stream and how far w_out lies along them (docs/definitions.md).

Everything here is float64: one more pass over w_out costs little, and no norm leaves its range.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

NULL_DIRECTIONS_PER_4096: Final = 40
"""Stolfo et al. (2024) take 40 of 4096 directions as the effective null space of W_U."""

_GRAM_ROWS: Final = 8192


def unit_rows(vectors: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
    """The vectors at length one, float64; rows of NaN where one is zero or not finite."""
    vectors = vectors.double()
    lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    units: Tensor = vectors / lengths.where((lengths > 0) & lengths.isfinite(), torch.nan)
    return units


def n_null_directions(d_model: int) -> int:
    """ceil(40 * d_model / 4096): how many directions the effective null space has."""
    return -(-NULL_DIRECTIONS_PER_4096 * d_model // 4096)


def null_space(vectors: Float[Tensor, "d_vocab d_model"], k: int) -> Float[Tensor, "k d_model"]:
    """The last k left singular vectors of W_U, least singular value first, as rows, float64.

    They are eigenvectors of the d_model x d_model Gram matrix, which is summed in float64: singular
    values below 1e-8 of the largest come out as noise of that size. That is still below all others,
    so an exactly null direction (LayerNorm models, whose W_U is centred over d_model) is among the
    k; how directions of equal singular value are mixed means nothing, unless k cuts through them.

    Args:
        vectors: W_U transposed, finite.
        k: at most d_model.
    """
    d_model = vectors.shape[1]
    gram = torch.zeros(d_model, d_model, dtype=torch.float64, device=vectors.device)
    for rows in vectors.split(_GRAM_ROWS):
        rows = rows.double()
        gram.addmm_(rows.T, rows)
    return torch.linalg.eigh(gram).eigenvectors[:, :k].T.contiguous()  # type: ignore[no-any-return]


def null_space_shares(
    units: Float[Tensor, "n d_model"], basis: Float[Tensor, "k d_model"]
) -> Float[Tensor, " n"]:
    """Norm of the projection of unit vectors on an orthonormal basis, in [0, 1]; NaN stays NaN."""
    shares: Tensor = torch.linalg.vector_norm(units @ basis.T, dim=1)
    return shares.clamp(max=1.0)


def direction_cosines(
    units: Float[Tensor, "n d_model"], directions: Float[Tensor, "m d_model"]
) -> Float[Tensor, "n m"]:
    """Cosines of unit vectors with unit directions, in [-1, 1]; NaN where either is NaN."""
    return (units @ directions.T).clamp(-1.0, 1.0)
