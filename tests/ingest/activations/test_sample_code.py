"""How samples are written, and that each run's are read by its own code."""

import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from catalog.ingest.activations.sample_code import logarithmic
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
from catalog.store.writing import start_run, unfinished_run, writing
from catalog.views import view_scripts
from tests.support import REPOSITORY, execute, query
from tests.synthetic import run_start

OLD = REPOSITORY / "tests" / "store" / "catalog_0003.duckdb.gz"

POSTS = arrays(np.float32, (3, 8), elements=st.floats(-(2.0**60), 2.0**60, width=32))


@pytest.fixture(scope="module")
def macros() -> Iterator[duckdb.DuckDBPyConnection]:
    """The macros that views read samples with."""
    with duckdb.connect() as connection:
        connection.execute(next(s for s in view_scripts() if "macro sampled_post" in s))
        yield connection


def read_back(
    macros: duckdb.DuckDBPyConnection, largest: torch.Tensor, bytes_: torch.Tensor
) -> np.ndarray:
    rows = [
        macros.execute(
            "select sampled_post('logarithmic', unnest($1::tinyint[]), $2::float)", [row, m]
        ).fetchall()
        for row, m in zip(bytes_.tolist(), largest.tolist(), strict=True)
    ]
    return np.array(rows, np.float64)[..., 0]


@given(POSTS)
def test_values_come_back_within_a_sixteenth_of_an_octave(
    macros: duckdb.DuckDBPyConnection, posts: np.ndarray
) -> None:
    largest, written = logarithmic(torch.tensor(posts))
    assert written.dtype == torch.int8
    assert (written > -128).all()
    found = read_back(macros, largest, written)
    m = np.abs(posts).max(1, keepdims=True).astype(np.float64)
    small = np.abs(posts) < m * 2**-15.75
    assert (np.abs(found - posts) <= 0.045 * np.abs(posts))[~small].all()
    assert (np.abs(found) <= m * 2**-15.7)[small].all()
    assert (found * posts >= 0).all()


def test_typical_values_of_a_heavy_tail_survive(macros: duckdb.DuckDBPyConnection) -> None:
    posts = torch.full((1, 256), 0.01)
    posts[0, 0] = 40.0
    found = read_back(macros, *logarithmic(posts))
    assert found[0, 1:] == pytest.approx(0.01, rel=0.045)
    assert found[0, 0] == 40.0


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("'linear'", [2.0, -1.0]),
        ("null", [2.0, -1.0]),
        ("'logarithmic'", [0.5 * 2 ** (-123 / 8), -0.5 * 2 ** (-125 / 8)]),
    ],
)
def test_each_run_is_read_by_its_own_code(db: Path, code: str, wanted: list[float]) -> None:
    execute(db, f"update ingest_run set sample_code = {code} where stage = 'activations'")
    found = query(db, "select post from activation_samples order by position")
    assert [value for (value,) in found] == pytest.approx(wanted)


def test_what_was_not_routed_is_null_in_either_code(db: Path) -> None:
    execute(db, "update activation_sample set post = [-128, 0]")
    for code in ("linear", "logarithmic"):
        execute(db, f"update ingest_run set sample_code = '{code}' where stage = 'activations'")
        assert query(db, "select post from activation_samples order by position") == [(None,), (0,)]


def test_a_catalog_of_before_keeps_what_its_samples_say(tmp_path: Path) -> None:
    old = tmp_path / "old.duckdb"
    old.write_bytes(gzip.decompress(OLD.read_bytes()))
    stored = (
        "select s.layer, s.neuron, p.position, (s.post[p.sample + 1] * s.scale)::float "
        "from activation_sample s join sample_position p using (run_id) order by all"
    )
    before = query(old, stored)
    ensure_catalog(Handle(old), upgrade=True)
    after = query(old, "select layer, neuron, position, post from activation_samples order by all")
    assert after == before
    assert before


def test_a_run_of_another_code_is_not_carried_on(db: Path) -> None:
    start = replace(run_start("activations"), sample_code="linear")
    with writing(db) as connection:
        run_id = start_run(connection, 1, start, 1)
        assert unfinished_run(connection, 1, start, 1) == (run_id, 0)
        other = replace(start, sample_code="logarithmic")
        assert unfinished_run(connection, 1, other, 1) is None
