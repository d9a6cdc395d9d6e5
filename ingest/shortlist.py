"""Which tokens can be among the k of largest w·u, judged by a product of less precision.

Let s be w·u as it is kept: a float32 dot product. Let b be what the product says: w' and u' are
the vectors in its dtype, its sums are of float32, in any order, and their result is rounded to the
dtype, with a relative error of at most r. With γ = d_model 2^-24, the error of a float32 sum,

    |b - s| <= r|b| + |w - w'||u| + |w'||u - u'| + γ|w'||u'| + γ|w||u| + tiny

where the lengths of the differences are measured, not estimated, and `tiny` is for numbers below
float32's normal range, which a processor may take for 0. So of every token there is a least and a
greatest value that s can have, and a token whose greatest is below the k-th largest least is not
among the k.
"""

import warnings
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from catalog.ingest.groups import Groups

ROUNDING: Final = {torch.bfloat16: 2.0**-8, torch.float32: 0.0}
_LARGEST: Final = 2.0**120
"""Sums of products below it cannot leave float32's range."""

_MORE: Final = 1 + 1e-3
"""For what is lost in computing the bounds themselves, and in terms of second order."""

_GROUP: Final = 24
"""Columns of a group."""

_MOST: Final = 512
"""Groups in which a row's tokens may lie: beyond it, or beyond 4 k, all tokens are compared."""

_ROWS = 4096


class Rounded(NamedTuple):
    """Vectors in some dtype, beside the lengths of themselves and of what the dtype takes away."""

    values: Float[Tensor, "n d_model"]
    norms: Float[Tensor, " n"]
    errors: Float[Tensor, " n"]

    @classmethod
    def of(cls, vectors: Float[Tensor, "n d_model"], dtype: torch.dtype) -> "Rounded":
        """From float32; lengths are float64, in which no square of a float32 is out of range."""
        values = vectors.to(dtype)
        norms, errors = torch.zeros(2, len(vectors), dtype=torch.float64, device=vectors.device)
        for start in range(0, len(vectors), _ROWS):
            some = slice(start, start + _ROWS)
            norms[some] = torch.linalg.vector_norm(vectors[some], dim=1, dtype=torch.float64)
            if dtype != vectors.dtype:
                lost = vectors[some] - values[some]
                errors[some] = torch.linalg.vector_norm(lost, dim=1, dtype=torch.float64)
        return cls(values, norms, errors)


class Pairs(NamedTuple):
    """Some rows, each with some columns, in the order of rows."""

    rows: Int[Tensor, " n"]
    columns: Int[Tensor, " n"]

    def kept(self, which: Bool[Tensor, " n"]) -> "Pairs":
        """Some of them."""
        return Pairs(self.rows[which], self.columns[which])

    def table(self, n_rows: int, n_least: int) -> Bool[Tensor, "n_rows c"]:
        """A place for each pair, those of a row side by side; at least so many places a row."""
        counts = torch.bincount(self.rows, minlength=n_rows)
        places = torch.arange(max(n_least, int(counts.max())), device=counts.device)
        return places < counts[:, None]


class Shortlist(NamedTuple):
    """The tokens of each row that can be among its k; none for a vector that has no direction.

    `unanswered`: rows of which this is not said, because their numbers are too large, or because
    too many tokens cannot be told apart.
    """

    pairs: Pairs
    unanswered: Bool[Tensor, " n"]


class Bounds(NamedTuple):
    """What |w·u - product| is at most: by_norm |u| + by_error |u - u'| + tiny, for each w.

    `in_range`: the product cannot have left the range of float32, so that this holds.
    """

    by_norm: Float[Tensor, " n"]
    by_error: Float[Tensor, " n"]
    tiny: Float[Tensor, " n"]
    in_range: Bool[Tensor, " n"]

    @classmethod
    def of(cls, rows: Rounded, tokens: Rounded) -> "Bounds":
        """For products of `rows`, of float32's precision beside what their dtype takes away."""
        d_model = rows.values.shape[1]
        gamma = d_model * 2.0**-24 * _MORE
        lengths, longest = rows.norms + rows.errors, (tokens.norms + tokens.errors).max()
        return cls(
            (rows.errors + 2 * gamma * lengths) * _MORE,
            (1 + gamma) * lengths * _MORE,
            d_model * 2.0**-124 * (1 + lengths + longest),
            lengths * longest < _LARGEST,
        )

    def widest(self, tokens: Rounded) -> Float[Tensor, " n"]:
        """For any of the tokens."""
        return self.by_norm * tokens.norms.max() + self.by_error * tokens.errors.max() + self.tiny

    def of_pairs(self, tokens: Rounded, pairs: Pairs) -> Float[Tensor, " m"]:
        """For some tokens of each row."""
        of_row = torch.stack([self.by_norm, self.by_error, self.tiny])[:, pairs.rows]
        norms, errors = tokens.norms[pairs.columns], tokens.errors[pairs.columns]
        return of_row[0] * norms + of_row[1] * errors + of_row[2]


def shortlist(
    rows: Rounded, tokens: Rounded, scores: Float[Tensor, "n d_vocab"], k: int, sign: int
) -> Shortlist:
    """Tokens that can be among the k of largest sign * w·u.

    `scores` of tokens that may not be listed are -sign * infinity.
    """
    bounds = Bounds.of(rows, tokens)
    readable = rows.norms.isfinite() & (rows.norms > 0)
    rounding = ROUNDING[scores.dtype]
    groups = Groups.of(scores, max(1, min(_GROUP, scores.shape[1] // k)), largest=sign > 0)
    # k groups reach the k-th largest of their maxima, so the k-th largest product is no less.
    # Where fewer groups hold tokens that may be listed, it is no less than any in range.
    maxima = torch.cat([groups.largest, groups.rest], 1)
    ranked = maxima.topk(k, dim=1).values[:, -1].double().clamp(min=-_LARGEST)
    widest = bounds.widest(tokens)
    bar = _less(_less(ranked, rounding) - 2 * widest, 2 * rounding)
    bar = torch.where(readable & bounds.in_range, bar, torch.inf)
    few = (groups.largest >= bar.to(scores.dtype)[:, None]).sum(1) <= max(_MOST, 4 * k)
    pairs, values = _reaching(scores, groups, torch.where(few, bar, torch.inf), sign)
    own = bounds.of_pairs(tokens, pairs)
    there = pairs.table(len(scores), k)
    least = torch.full(there.shape, -torch.inf, dtype=torch.float64, device=scores.device)
    least[there] = _less(values, rounding) - own
    narrower = least.topk(k, dim=1).values[:, -1]
    within = values + rounding * values.abs() + own >= narrower[pairs.rows]
    return Shortlist(pairs.kept(within), readable & ~(bounds.in_range & few))


def _less(values: Float[Tensor, " *n"], share: float) -> Float[Tensor, " *n"]:
    return values - share * values.abs()


def _reaching(
    scores: Float[Tensor, "n d_vocab"], groups: Groups, bar: Float[Tensor, " n"], sign: int
) -> tuple[Pairs, Float[Tensor, " m"]]:
    """Where sign * score is finite and at least `bar`, or what the dtype makes of it."""
    low = bar.to(scores.dtype)[:, None]
    rows, group = (groups.largest >= low).nonzero(as_tuple=True)
    columns = groups.columns(group)
    rows = rows[:, None].expand_as(columns).flatten()
    n_rest = groups.rest.shape[1]
    if n_rest:
        rest_rows, rest = (groups.rest >= low).nonzero(as_tuple=True)
        order = torch.cat([rows, rest_rows]).sort(stable=True)
        rest_columns = scores.shape[1] - n_rest + rest
        rows, columns = order.values, torch.cat([columns.flatten(), rest_columns])[order.indices]
    pairs = Pairs(rows, columns.flatten())
    values = sign * scores[pairs.rows, pairs.columns]
    reaching = (values >= low[pairs.rows, 0]) & values.isfinite()
    return pairs.kept(reaching), values[reaching].double()


def dots(
    w: Float[Tensor, "n d_model"], vectors: Float[Tensor, "m d_model"], pairs: Pairs
) -> Float[Tensor, " c"]:
    """Float32 dot products of some rows with some vectors; equal ones of equal pairs."""
    if w.device.type != "cpu":
        return _gathered_dots(w, vectors, pairs)
    ends = torch.bincount(pairs.rows + 1, minlength=len(w) + 1).cumsum(0)
    nothing = torch.zeros(len(pairs.columns))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that such matrices are in beta
        where = torch.sparse_csr_tensor(ends, pairs.columns, nothing, (len(w), len(vectors)))
        found: Tensor = torch.sparse.sampled_addmm(where, w, vectors.T, beta=0.0).values()
    return found


def _gathered_dots(
    w: Float[Tensor, "n d_model"], vectors: Float[Tensor, "m d_model"], pairs: Pairs
) -> Float[Tensor, " c"]:
    parts = zip(pairs.rows.split(_ROWS), pairs.columns.split(_ROWS), strict=True)
    return torch.cat([(w[row] * vectors[column]).sum(1) for row, column in parts])
