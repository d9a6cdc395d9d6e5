"""Directions and projections, where the answer is known."""

import numpy as np
import pytest
import torch

from catalog.ingest.roles.attention import score_rows
from catalog.ingest.roles.geometry import (
    direction_cosines,
    n_null_directions,
    null_space,
    null_space_shares,
    unit_rows,
)


@pytest.mark.parametrize(
    ("d_model", "k"), [(4096, 40), (2048, 20), (2304, 23), (896, 9), (103, 2), (102, 1), (1, 1)]
)
def test_the_null_space_grows_with_the_model(d_model: int, k: int) -> None:
    assert n_null_directions(d_model) == k


def test_the_null_space_is_that_of_a_singular_value_decomposition() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(20_000, 24)) * np.geomspace(1, 1e-3, 24)
    basis = null_space(torch.from_numpy(vectors).float(), 5).numpy()
    last = np.linalg.svd(vectors.astype(np.float32).astype(np.float64).T, full_matrices=False)[0][
        :, :-6:-1
    ]
    np.testing.assert_allclose(np.abs(np.sum(basis * last.T, axis=1)), 1, atol=1e-9)


def test_an_exactly_null_direction_is_the_last_of_all() -> None:
    vectors = torch.randn(500, 64, generator=torch.Generator().manual_seed(0))
    vectors -= vectors.mean(dim=1, keepdim=True)
    basis = null_space(vectors, 3)
    torch.testing.assert_close(basis @ basis.T, torch.eye(3, dtype=torch.float64))
    assert abs(float(basis[0].sum())) / 8 == pytest.approx(1, abs=1e-6)


def test_shares_and_cosines_do_not_see_the_scale_of_a_vector() -> None:
    basis = torch.eye(3, dtype=torch.float64)[:1]
    w_out = torch.tensor([[3.0, 4.0, 0.0], [0.0, 2.0, 0.0], [-1.0, 0.0, 0.0]])
    for scale in (1e-30, 1.0, 1e30):
        units = unit_rows(w_out * scale)
        torch.testing.assert_close(
            null_space_shares(units, basis), torch.tensor([0.6, 0.0, 1.0], dtype=torch.float64)
        )
        torch.testing.assert_close(
            direction_cosines(units, basis)[:, 0], torch.tensor([0.6, 0.0, -1.0]).double()
        )


@pytest.mark.parametrize("bad", [0.0, torch.nan, torch.inf])
def test_a_vector_that_is_zero_or_not_finite_has_no_share_and_no_score(bad: float) -> None:
    w_out = torch.tensor([[bad, 0.0], [1.0, 0.0]])
    units = unit_rows(w_out)
    basis = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert null_space_shares(units, basis).isnan().tolist() == [True, False]
    rows = score_rows(0, direction_cosines(units, basis), 1, k=4, floor=0.3)
    assert rows["neuron"].to_pylist() == [1]


def test_the_strongest_heads_are_kept_and_all_above_the_floor() -> None:
    cosines = torch.tensor(
        [
            [0.1, -0.2, 0.05, 0.2, torch.nan, 0.0],
            [0.9, -0.8, 0.7, 0.31, 0.3, -0.29],
            [torch.nan] * 6,
        ]
    )
    rows = score_rows(5, cosines, n_heads=3, k=2, floor=0.3).to_pylist()
    kept = [(row["neuron"], row["head_layer"], row["head"]) for row in rows]
    assert kept == [(0, 6, 1), (0, 7, 0), (1, 6, 0), (1, 6, 1), (1, 6, 2), (1, 7, 0)]
    assert {row["layer"] for row in rows} == {5}
    assert [round(row["cosine"], 2) for row in rows] == [-0.2, 0.2, 0.9, -0.8, 0.7, 0.31]


def test_ties_go_to_the_earlier_head_and_no_heads_give_no_rows() -> None:
    rows = score_rows(0, torch.tensor([[0.2, -0.2, 0.2]]), n_heads=3, k=2, floor=0.3)
    assert rows["head"].to_pylist() == [0, 1]
    assert score_rows(0, torch.empty(4, 0), n_heads=3, k=2, floor=0.3).num_rows == 0
