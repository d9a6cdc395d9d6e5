"""Running statistics and top-k on made values: ranks, merging, masks, NaN, files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import EnvironmentFault, MismatchError
from catalog.ingest.activations.contexts import Batch
from catalog.ingest.activations.hooks import MlpValues
from catalog.ingest.activations.kernel import KERNELS, Kernel
from catalog.ingest.activations.reading import Reading
from catalog.ingest.activations.state import ActivationState, PassPlan
from catalog.ingest.activations.tables import exemplar_table, stat_table
from catalog.ingest.families import FAMILIES
from tests.ingest.activations.tiny import READINGS, SIGNS, ListContexts, kernel_of

Read = tuple[Batch, MlpValues]
PLAIN = KERNELS["plain"](3, FAMILIES["llama"].mlp, torch.float32, torch.device("cpu"))
N = 3
PLAN = PassPlan("m", "c", 1, N, 2, 0, 64, 0, "excluded", "float32", "cpu", "plain")


def made_values(rng: np.random.Generator, b: int, t: int, tied: bool = True) -> MlpValues:
    """gate and in; if `tied` from few values, 0 among them, so that |post| ties abound."""
    if tied:
        gate, x_in = (torch.from_numpy(rng.integers(-2, 3, (b, t, N))).float() for _ in range(2))
    else:
        gate, x_in = (torch.from_numpy(rng.standard_normal((b, t, N))).float() for _ in range(2))
    return MlpValues(gate, x_in, torch.nn.functional.leaky_relu(gate, 0.5) * x_in)


def made_batch(rng: np.random.Generator, ids: list[int], t: int) -> Batch:
    lengths = torch.from_numpy(rng.integers(1, t + 1, len(ids)))
    counted = torch.from_numpy(rng.random((len(ids), t)) < 0.8) & (
        torch.arange(t) < lengths[:, None]
    )
    return Batch(torch.tensor(ids), torch.zeros(len(ids), t, dtype=torch.int64), lengths, counted)


def part(batch: Batch, values: MlpValues, rows: list[int]) -> Read:
    index = torch.tensor(rows)
    fields = (batch.context_ids, batch.tokens, batch.lengths, batch.counted)
    return Batch(*(x[index] for x in fields)), MlpValues.of(x[index] for x in values.tensors)


def add(
    state: ActivationState, batch: Batch, values: MlpValues, unit: int = 0, kernel: Kernel = PLAIN
) -> Reading:
    reading = kernel.read(values, batch.counted, batch.context_ids, state.floor(0))
    state.update(0, batch, values, reading)
    state.n_positions += int(batch.counted.sum())
    state.units.add(unit)
    return reading


def state_of(*parts: tuple[int, Read], kernel: Kernel = PLAIN) -> ActivationState:
    state = ActivationState.empty(PLAN, torch.device("cpu"))
    for unit, (batch, values) in parts:
        add(state, batch, values, unit, kernel)
    return state


def tables(
    state: ActivationState, n_contexts: int = 100, length: int = 64
) -> tuple[pa.Table, pa.Table]:
    reader = ListContexts([range(length)] * n_contexts)
    return stat_table(state, 0), exemplar_table(state, 0, reader)


def same(a: ActivationState, b: ActivationState) -> bool:
    return all(x.equals(y) for x, y in zip(tables(a), tables(b), strict=True))


def full_sort(
    batch: Batch, values: MlpValues, case: int, neuron: int, k: int
) -> list[tuple[int, int, float]]:
    """(context, position, post) of the k best contexts by sorting everything."""
    found = []
    sign_gate, sign_in = SIGNS[case]
    for row, context in enumerate(batch.context_ids.tolist()):
        best = None
        for t in range(batch.counted.shape[1]):
            gate, x_in, post = (float(x[row, t, neuron]) for x in values.tensors)
            fits = gate * sign_gate > 0 and x_in * sign_in > 0 and batch.counted[row, t]
            if fits and (best is None or abs(post) > abs(best[2])):
                best = (context, t, post)
        found += [best] if best else []
    return sorted(found, key=lambda f: (-abs(f[2]), f[0]))[:k]


@pytest.mark.parametrize("reading", READINGS)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 9), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_top_k_is_a_full_sort(reading: str, seed: int, n_contexts: int, t: int, k: int) -> None:
    kernel = kernel_of(reading)
    rng = np.random.default_rng(seed)
    ids = rng.permutation(100)[:n_contexts].tolist()
    batch, values = made_batch(rng, ids, t), made_values(rng, n_contexts, t)
    state = ActivationState.empty(replace(PLAN, k=k), torch.device("cpu"))
    cuts = np.array_split(rng.permutation(n_contexts), rng.integers(1, n_contexts + 1))
    for unit, rows in enumerate(cuts):
        add(state, *part(batch, values, rows.tolist()), unit, kernel)
    rows = tables(state)[1].to_pylist()
    found = [(r["neuron"], r["sign_case"], r["context_id"], r["position"], r["post"]) for r in rows]
    assert found == [
        (neuron, f"gate{'+-'[case // 2]}_in{'+-'[case % 2]}", *best)
        for neuron in range(N)
        for case in range(4)
        for best in full_sort(batch, values, case, neuron, k)
    ]


@pytest.mark.parametrize("reading", READINGS)
@given(st.integers(0, 10**6), st.integers(2, 10))
@settings(max_examples=25, deadline=None)
def test_any_split_order_and_merge_is_the_same(reading: str, seed: int, n_contexts: int) -> None:
    kernel = kernel_of(reading)
    rng = np.random.default_rng(seed)
    ids = rng.permutation(100)[:n_contexts].tolist()
    batch = made_batch(rng, ids, 7)
    values = made_values(rng, n_contexts, 7, tied=bool(seed % 2))
    together = state_of((0, (batch, values)), kernel=kernel)
    cuts = np.array_split(rng.permutation(n_contexts), rng.integers(2, 5))
    parts = [(i, part(batch, values, rows.tolist())) for i, rows in enumerate(cuts) if len(rows)]
    states = [state_of(one, kernel=kernel) for one in parts]
    left = state_of()
    for state in states:
        left.merge(state)
    right = state_of()
    for state in reversed(states):
        state.merge(right)
        right = state
    assert same(together, left)
    assert same(together, right)
    assert same(together, state_of(*reversed(parts), kernel=kernel))


def test_merge_refuses_the_same_unit_and_another_pass() -> None:
    rng = np.random.default_rng(0)
    one = state_of((3, (made_batch(rng, [1], 4), made_values(rng, 1, 4))))
    with pytest.raises(MismatchError, match="unit 3"):
        one.merge(one)
    with pytest.raises(MismatchError, match="k 5 instead of 2"):
        one.merge(ActivationState.empty(replace(PLAN, k=5), torch.device("cpu")))


def test_a_case_that_never_occurs_and_fewer_contexts_than_k() -> None:
    tokens = torch.zeros(1, 4, dtype=torch.int64)
    batch = Batch(torch.tensor([5]), tokens, torch.tensor([4]), torch.ones(1, 4) > 0)
    gate = torch.ones(1, 4, N)
    state = state_of((0, (batch, MlpValues(gate, gate, gate))))
    stats, exemplars = tables(state)
    for row in stats.to_pylist():
        if row["sign_case"] == "gate+_in+":
            assert (row["n_in_case"], row["mean_post"], row["extreme_in"]) == (4, 1.0, 1.0)
        else:
            assert row["n_in_case"] == 0
            assert all(row[c] is None for c in stats.column_names[5:])
    assert exemplars["rank"].to_pylist() == [1] * N
    assert exemplars["position"].to_pylist() == [0] * N  # of equal values the first


@pytest.mark.parametrize("reading", READINGS)
def test_underflow_keeps_its_case(reading: str) -> None:
    rng = np.random.default_rng(0)
    batch = replace(made_batch(rng, [7], 4), counted=torch.ones(1, 4, dtype=torch.bool))
    gate, x_in = torch.full((1, 4, N), -300.0), torch.full((1, 4, N), 2.0)
    values = MlpValues(gate, x_in, torch.zeros(1, 4, N))
    state = state_of((0, (batch, values)), kernel=kernel_of(reading))
    stats, exemplars = tables(state)
    row = stats.to_pylist()[2]
    assert (row["sign_case"], row["n_in_case"], row["extreme_gate"]) == ("gate-_in+", 4, -300.0)
    assert (row["mean_post"], row["extreme_post"]) == (0.0, 0.0)
    first = exemplars.to_pylist()[0]
    assert (first["context_id"], first["post"], first["window_scale"]) == (7, 0.0, 0.0)


@pytest.mark.parametrize("reading", READINGS)
def test_values_outside_the_mask_never_count(reading: str) -> None:
    kernel = kernel_of(reading)
    rng = np.random.default_rng(1)
    batch, values = made_batch(rng, [0, 1, 2], 9), made_values(rng, 3, 9, tied=False)
    elsewhere = [
        MlpValues.of(torch.where(batch.counted[..., None], x, bad) for x in values.tensors)
        for bad in (1e6, torch.nan)
    ]
    plain, wild, broken = (state_of((0, (batch, v)), kernel=kernel) for v in (values, *elsewhere))
    assert stat_table(plain, 0).equals(stat_table(wild, 0))
    assert stat_table(plain, 0).equals(stat_table(broken, 0))
    assert torch.equal(plain.position, broken.position)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("field", range(3))
def test_not_finite_is_counted_and_never_ranked(reading: str, bad: float, field: int) -> None:
    rng = np.random.default_rng(2)
    batch = replace(made_batch(rng, [4, 9], 6), counted=torch.ones(2, 6, dtype=torch.bool))
    values = made_values(rng, 2, 6, tied=False)
    gate, x_in = (value.clone() for value in values.reads)
    (gate, x_in, gate)[field][1, 3, 2] = bad
    post = torch.nn.functional.silu(gate) * x_in
    if field == 2:
        gate[1, 3, 2] = 1.0
    state = state_of()
    read = add(state, batch, MlpValues(gate, x_in, post), kernel=kernel_of(reading))
    assert read.n_nonfinite.tolist() == [0, 1]
    stats, exemplars = tables(state)
    assert sum(stats["n_in_case"].to_pylist()) == 2 * 6 * N - 1
    for table in (stats, exemplars):
        for name in set(table.column_names) - {"sign_case", "window_post"}:
            assert np.isfinite(table[name].drop_null().to_numpy().astype(float)).all()


def test_a_state_survives_its_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    state = state_of((2, (made_batch(rng, [1, 8], 5), made_values(rng, 2, 5))))
    state.halved[2] = 4
    state.add_nonfinite([((0, 8), 3)])
    state.save(tmp_path / "state")
    back = ActivationState.load(tmp_path / "state", torch.device("cpu"))
    assert same(state, back)
    assert (back.units, back.halved, back.nonfinite) == ({2}, {2: 4}, {(0, 8): 3})
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    (tmp_path / "state").write_bytes(b"torn")
    with pytest.raises(EnvironmentFault, match="Delete it"):
        ActivationState.load(tmp_path / "state", torch.device("cpu"))
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        state.save(tmp_path / "missing" / "state")
