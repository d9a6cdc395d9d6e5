"""Scores of weight vectors over the vocabulary: their extremes, and the moments of their cosines.

docs/definitions.md, "Vocabulary projection" and "Vocabulary moments". One product chooses which
tokens can be among the extremes, in float32 or in a dtype in which this machine multiplies faster;
the scores kept are float32 dot products of those tokens alone, so the lists do not depend on the
dtype, nor on how the product was cut into tiles (`catalog.ingest.shortlist` has the bound).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from catalog.ingest.shortlist import Pairs, Rounded, dots, shortlist

_MOMENTS_AT_ONCE = 2**18
"""Scores whose moments are taken at once: what they need then stays in the cache."""

_EVERY_SCORE = 2**22
"""Dot products held at once where all tokens of some vectors have to be compared."""


class TopTokens(NamedTuple):
    """The k most extreme tokens of each vector, the most extreme first; ties by lower id."""

    scores: Float[Tensor, "n k"]
    token_ids: Int[Tensor, "n k"]


class Moments(NamedTuple):
    """Moments of cos(w_out, W_U[:,t]) over the tokens t; NaN for a zero or non-finite w_out."""

    variance: Float[Tensor, " n"]
    skew: Float[Tensor, " n"]
    kurtosis: Float[Tensor, " n"]


class Scores(NamedTuple):
    """Products of vectors with every token, in the dtype of `vectors`.

    `values` lie in room that the next product of that dtype overwrites.
    """

    vectors: Rounded
    values: Float[Tensor, "n d_vocab"]


class VocabularyBasis:
    """A matrix of token vectors, ready to be multiplied with.

    Args:
        vectors: W_U transposed, or W_E; float32.
        listed: ids that may be listed, ascending; the others stay in the moments.
        dtype: in which tokens are chosen where the scores are needed for nothing else.
    """

    def __init__(
        self,
        vectors: Float[Tensor, "d_vocab d_model"],
        listed: Int[Tensor, " m"],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.vectors = vectors
        self.dtype = dtype
        self._rounded = {each: Rounded.of(vectors, each) for each in {dtype, torch.float32}}
        self._room: dict[torch.dtype, Tensor] = {}
        norms = self._rounded[torch.float32].norms
        self.n_zero = int((norms == 0).sum())
        self._counted = None if self.n_zero == 0 else norms != 0
        self._inverse_norms = torch.where(norms == 0, 0, norms.reciprocal()).float()
        self._listed = listed.to(vectors.device).long()
        hidden = torch.ones(len(vectors), dtype=torch.bool, device=vectors.device)
        hidden[self._listed] = False
        self._hidden = hidden.nonzero()[:, 0]

    def scores(self, w: Float[Tensor, "n d_model"], dtype: torch.dtype) -> Scores:
        """w · basis, for every token."""
        rows, tokens = Rounded.of(w, dtype), self._rounded[dtype]
        n, d_vocab = len(w), len(self.vectors)
        room = self._room.get(dtype)
        if room is None or room.numel() < n * d_vocab:
            room = self._room[dtype] = torch.empty(n * d_vocab, dtype=dtype, device=w.device)
        values = room[: n * d_vocab].view(n, d_vocab)
        return Scores(rows, torch.mm(rows.values, tokens.values.T, out=values))

    def extremes(
        self, w: Float[Tensor, "n d_model"], k: int, scores: Scores | None = None
    ) -> tuple[TopTokens, TopTokens]:
        """The k tokens of highest and the k of lowest w · token among the listed ones.

        Overwrites hidden columns of `scores`, the products with `w` where they are at hand. What
        it gives for vectors that are zero or not finite means nothing.
        """
        scores = scores or self.scores(w, self.dtype)
        k = min(k, len(self._listed))
        return self._extreme(w, k, scores, 1), self._extreme(w, k, scores, -1)

    def _extreme(
        self, w: Float[Tensor, "n d_model"], k: int, scores: Scores, sign: int
    ) -> TopTokens:
        dtype = scores.values.dtype
        scores.values.index_fill_(1, self._hidden, -sign * torch.inf)
        chosen = shortlist(scores.vectors, self._rounded[dtype], scores.values, k, sign)
        found = self._ranked(w, k, chosen.pairs, sign)
        left = chosen.unanswered.nonzero()[:, 0]
        if len(left) == 0:
            return found
        if dtype != torch.float32:
            again = self._extreme(w[left], k, self.scores(w[left], torch.float32), sign)
        else:
            again = self._of_all(w[left], k, sign)
        found.scores[left], found.token_ids[left] = again
        return found

    def _of_all(self, w: Float[Tensor, "n d_model"], k: int, sign: int) -> TopTokens:
        """By the dot products of all tokens."""
        parts = []
        for some in w.split(max(1, _EVERY_SCORE // len(self._listed))):
            rows = torch.arange(len(some), device=w.device).repeat_interleave(len(self._listed))
            pairs = Pairs(rows, self._listed.repeat(len(some)))
            parts.append(self._ranked(some, k, pairs, sign))
        return TopTokens(*map(torch.cat, zip(*parts, strict=True)))

    def _ranked(self, w: Float[Tensor, "n d_model"], k: int, pairs: Pairs, sign: int) -> TopTokens:
        """The k tokens of largest sign * dot product of each row among its pairs."""
        there = pairs.table(len(w), k)
        last = len(self.vectors)
        ids = torch.full(there.shape, last, device=w.device)
        ids[there] = pairs.columns
        ids = ids.sort(dim=1).values
        values = torch.full(ids.shape, -torch.inf, device=w.device)
        values[there] = sign * dots(w, self.vectors, Pairs(pairs.rows, ids[there]))
        # Ids ascend, so a stable sort leaves equal scores in their order.
        values, order = values.sort(dim=1, descending=True, stable=True)
        return TopTokens(sign * values[:, :k], ids.gather(1, order[:, :k]))

    def moments(self, scores: Float[Tensor, "n d_vocab"], norms: Float[Tensor, " n"]) -> Moments:
        """Variance, skewness and excess kurtosis of the cosines; `scores` is left as it is."""
        n_rows = max(1, _MOMENTS_AT_ONCE // scores.shape[1])
        parts = [
            self._moments(*some)
            for some in zip(scores.split(n_rows), norms.split(n_rows), strict=True)
        ]
        return Moments(*map(torch.cat, zip(*parts, strict=True)))

    def _moments(self, scores: Float[Tensor, "n d_vocab"], norms: Float[Tensor, " n"]) -> Moments:
        cosines = (scores * self._inverse_norms).div_(norms.float()[:, None])
        if self._counted is not None:
            cosines = cosines[:, self._counted]
        n = cosines.shape[1]
        deviation = cosines.sub_(cosines.mean(dim=1, keepdim=True))
        squared = deviation.square()
        variance = squared.sum(dim=1).double() / (n - 1)
        third = deviation.mul_(squared).sum(dim=1).double() / n
        fourth = squared.square_().sum(dim=1).double() / n
        return Moments(variance, third / variance**1.5, fourth / variance**2 - 3)
