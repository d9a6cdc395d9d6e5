"""Scores of weight vectors over the vocabulary: their extremes, and the moments of their cosines.

docs/definitions.md, "Vocabulary projection" and "Vocabulary moments".
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class TopTokens(NamedTuple):
    """The k most extreme tokens of each vector, the most extreme first; ties by lower id."""

    scores: Float[Tensor, "n k"]
    token_ids: Int[Tensor, "n k"]


class Moments(NamedTuple):
    """Moments of cos(w_out, W_U[:,t]) over the tokens t; NaN for a zero or non-finite w_out."""

    variance: Float[Tensor, " n"]
    skew: Float[Tensor, " n"]
    kurtosis: Float[Tensor, " n"]


class VocabularyBasis:
    """A matrix of token vectors, ready to be multiplied with.

    Args:
        vectors: W_U transposed, or W_E; float32.
        listed: ids that may be listed, ascending; the others stay in the moments.
    """

    def __init__(
        self, vectors: Float[Tensor, "d_vocab d_model"], listed: Int[Tensor, " m"]
    ) -> None:
        self.vectors = vectors
        norms = vectors.norm(dim=1)
        self.n_zero = int((norms == 0).sum())
        self._counted = None if self.n_zero == 0 else norms != 0
        self._inverse_norms = torch.where(norms == 0, 0, norms.reciprocal())
        hidden = torch.ones(len(vectors), dtype=torch.bool, device=vectors.device)
        hidden[listed.to(vectors.device)] = False
        self._hidden = hidden.nonzero()[:, 0]
        self.n_listed = len(listed)

    def scores(self, w: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_vocab"]:
        """w · basis, for every token."""
        return w @ self.vectors.T

    def extremes(self, scores: Float[Tensor, "n d_vocab"], k: int) -> tuple[TopTokens, TopTokens]:
        """The k highest and the k lowest scores among listed tokens; overwrites hidden columns."""
        k = min(k, self.n_listed)
        highest = _extremes(scores.index_fill_(1, self._hidden, -torch.inf), k, largest=True)
        lowest = _extremes(scores.index_fill_(1, self._hidden, torch.inf), k, largest=False)
        return highest, lowest

    def moments(self, scores: Float[Tensor, "n d_vocab"], norms: Float[Tensor, " n"]) -> Moments:
        """Variance, skewness and excess kurtosis of the cosines; `scores` is left as it is."""
        cosines = (scores * self._inverse_norms).div_(norms[:, None])
        if self._counted is not None:
            cosines = cosines[:, self._counted]
        n = cosines.shape[1]
        deviation = cosines.sub_(cosines.mean(dim=1, keepdim=True))
        squared = deviation.square()
        variance = squared.sum(dim=1).double() / (n - 1)
        third = deviation.mul_(squared).sum(dim=1).double() / n
        fourth = squared.square_().sum(dim=1).double() / n
        return Moments(variance, third / variance**1.5, fourth / variance**2 - 3)


def _extremes(scores: Float[Tensor, "n d_vocab"], k: int, *, largest: bool) -> TopTokens:
    """Total order: score, then lower id, also where torch.topk would choose freely."""
    if k == scores.shape[1]:
        values, ids = scores.sort(dim=1, descending=largest, stable=True)
        return TopTokens(values, ids)
    values, ids = scores.topk(k + 1, dim=1, largest=largest)
    tied = (values[:, k - 1] == values[:, k]).nonzero()[:, 0]
    if len(tied):
        sorted_scores, sorted_ids = scores[tied].sort(dim=1, descending=largest, stable=True)
        values[tied], ids[tied] = sorted_scores[:, : k + 1], sorted_ids[:, : k + 1]
    ids, by_id = ids[:, :k].sort(dim=1)
    values = values[:, :k].gather(1, by_id)
    values, by_score = values.sort(dim=1, descending=largest, stable=True)
    return TopTokens(values, ids.gather(1, by_score))
