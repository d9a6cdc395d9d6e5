"""The extremes of scores over a vocabulary, whatever chooses the tokens that are compared."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from catalog.ingest import shortlist
from catalog.ingest.projection import TopTokens, VocabularyBasis
from catalog.ingest.shortlist import Pairs, Rounded, dots

DTYPES = (torch.float32, torch.bfloat16)
K = 4
FLAWS = (
    *("near ties", "ties", "huge tokens", "tiny tokens", "subnormal tokens", "zero tokens"),
    *("huge rows", "tiny rows", "subnormal rows", "beyond the range", "zero row", "NaN row"),
    *("all alike", "one long token"),
)


class Made:
    """Vectors and tokens with flaws drawn for them; `listed` leaves out some tokens."""

    def __init__(self, seed: int, d_model: int, d_vocab: int, flaws: list[str]) -> None:
        self.rng = np.random.default_rng(seed)
        self.w = self._normal(9, d_model)
        self.tokens = self._normal(d_vocab, d_model)
        for flaw in flaws:
            self._add(flaw)
        n_listed = int(self.rng.integers(K, d_vocab + 1))
        self.listed = torch.from_numpy(np.sort(self.rng.permutation(d_vocab)[:n_listed]))

    def _normal(self, *shape: int) -> Float[Tensor, "n d"]:
        return torch.from_numpy(self.rng.standard_normal(shape).astype(np.float32))

    def _add(self, flaw: str) -> None:
        kind, _, what = flaw.partition(" ")
        scale = {"huge": 1e30, "tiny": 1e-30, "subnormal": 1e-42}.get(kind)
        chosen = self.w if what == "rows" else self.tokens
        some = torch.from_numpy(self.rng.random(len(chosen)) < self.rng.random())
        if scale is not None:
            chosen[some] *= scale
        elif flaw == "beyond the range":
            self.w[0] *= 3e37
        elif flaw == "zero tokens":
            self.tokens[some] = 0
        elif flaw == "zero row":
            self.w[2] = 0
        elif flaw == "NaN row":
            self.w[3, 0] = torch.nan
        elif flaw == "one long token":
            self.tokens[0] *= 1e4
        else:  # many tokens that differ in the last digits, in none, or in nothing at all
            first = self.tokens[0].clone()
            some = torch.ones_like(some) if flaw == "all alike" else some
            self.tokens[some] = first
            if flaw == "near ties":
                self.tokens[some] *= 1 + 1e-7 * self._normal(len(self.tokens), 1)[some]

    @property
    def readable(self) -> Tensor:
        norms = torch.linalg.vector_norm(self.w.double(), dim=1)
        readable: Tensor = norms.isfinite() & (norms > 0)
        return readable


def by_dots(made: Made, sign: int) -> TopTokens:
    """Of all listed tokens, by the dot products themselves."""
    n, m = len(made.w), len(made.listed)
    pairs = Pairs(torch.arange(n).repeat_interleave(m), made.listed.repeat(n))
    scores = dots(made.w, made.tokens, pairs).view(n, m)
    values, order = (sign * scores).sort(dim=1, descending=True, stable=True)
    return TopTokens(sign * values[:, :K], made.listed[order[:, :K]])


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 3, 16, 67]),
    st.integers(K, 300),
    st.lists(st.sampled_from(FLAWS), max_size=3),
)
def test_no_token_is_missed_and_both_dtypes_give_the_same_rows(
    seed: int, d_model: int, d_vocab: int, flaws: list[str]
) -> None:
    made = Made(seed, d_model, d_vocab, flaws)
    for dtype in DTYPES:
        basis = VocabularyBasis(made.tokens, made.listed, dtype)
        for found, sign in zip(basis.extremes(made.w, K), (1, -1), strict=True):
            wanted = by_dots(made, sign)
            for part, expected in zip(found, wanted, strict=True):
                same = torch.isclose(part, expected, rtol=0, atol=0, equal_nan=True)
                assert bool(same[made.readable].all()), (dtype, sign)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 16, 67, 1024]),
    st.lists(st.sampled_from(FLAWS), max_size=3),
)
def test_the_product_is_never_further_off_than_its_bound(
    seed: int, d_model: int, flaws: list[str]
) -> None:
    made = Made(seed, d_model, 90, flaws)
    exact = made.w.double() @ made.tokens.double().T
    for dtype in DTYPES:
        rows, tokens = Rounded.of(made.w, dtype), Rounded.of(made.tokens, dtype)
        product = (rows.values @ tokens.values.T).double()
        bounds = shortlist.Bounds.of(rows, tokens)
        allowed = bounds.by_norm[:, None] * tokens.norms + bounds.by_error[:, None] * tokens.errors
        allowed += bounds.tiny[:, None]
        allowed += shortlist.ROUNDING[dtype] * product.abs()
        known = made.readable & bounds.in_range
        assert bool(((product - exact).abs() <= allowed)[known].all())


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_vocabularies_in_tiles_of_any_size(dtype: torch.dtype) -> None:
    """Groups, what is left over beyond them, and rooms that are used again."""
    rng = np.random.default_rng(1)
    tokens = torch.from_numpy(rng.standard_normal((5003, 48)).astype(np.float32))
    w = torch.from_numpy(rng.standard_normal((70, 48)).astype(np.float32))
    basis = VocabularyBasis(tokens, torch.arange(5000), dtype)
    whole = basis.extremes(w, 16)
    exact: NDArray[np.float64] = w.double().numpy() @ tokens[:5000].double().numpy().T
    order = np.argsort(-exact, axis=1, kind="stable")[:, :16]
    assert whole[0].token_ids.numpy().tolist() == order.tolist()
    for size in (1, 7, 64):
        parts = [basis.extremes(some, 16) for some in w.split(size)]
        for sign in range(2):
            for at in range(2):
                assert torch.cat([part[sign][at] for part in parts]).equal(whole[sign][at])


def test_more_near_ties_than_a_list_holds_are_compared_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shortlist, "_MOST", 20)
    made = Made(0, 16, 1200, ["all alike"])
    made.listed = torch.arange(1, 1200)
    for dtype in DTYPES:
        found = VocabularyBasis(made.tokens, made.listed, dtype).extremes(made.w, K)
        for top in found:
            assert top.token_ids.tolist() == [[1, 2, 3, 4]] * len(made.w)


def test_gathered_dot_products_are_the_same_numbers_up_to_rounding() -> None:
    """What stands in where there is no product at chosen places, as on GPUs."""
    made = Made(0, 67, 300, [])
    chosen = torch.from_numpy(np.random.default_rng(0).random((9, 300)) < 0.1)
    pairs = Pairs(*chosen.nonzero(as_tuple=True))
    exact = (made.w.double() @ made.tokens.double().T)[chosen]
    for found in (dots, shortlist._gathered_dots):
        assert found(made.w, made.tokens, pairs).double().allclose(exact, atol=1e-5)
