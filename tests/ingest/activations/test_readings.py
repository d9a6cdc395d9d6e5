"""Ways to read the sign cases, against each other and against sums in float64."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from catalog.ingest.activations.fused import WIDTH, windows_at
from catalog.ingest.activations.hooks import MlpValues
from catalog.ingest.activations.peaks import _windows
from catalog.ingest.activations.reading import EMPTY, SUM_STEP, Reading, case_signs, context_of
from tests.ingest.activations.tiny import kernel_of


@dataclass
class Case:
    """Values and what they are read with."""

    values: MlpValues
    counted: Tensor
    context_ids: Tensor
    floor: Tensor

    def read(self, reading: str) -> Reading:
        kernel = kernel_of(reading, self.floor.shape[1], gated=self.values.gate is not None)
        return kernel.read(self.values, self.counted, self.context_ids, self.floor)


def made(
    seed: int, shape: tuple[int, int, int], gated: bool = True, dtype: torch.dtype = torch.float32
) -> Case:
    """Values with zeros, ties and some that are not finite, positions that do not count."""
    rng = np.random.default_rng(seed)

    def drawn() -> Tensor:
        x = rng.standard_normal(shape)
        rounded = rng.random(shape) < 0.5  # to few values, 0 among them
        x[rounded] = x[rounded].round()
        x[rng.random(shape) < 0.02] = rng.choice([np.nan, np.inf, -np.inf])
        return torch.from_numpy(x).to(dtype)

    x_in, gate = drawn(), drawn() if gated else None
    act = torch.nn.functional.leaky_relu(x_in if gate is None else gate, 0.5)
    values = MlpValues(gate, x_in, act if gate is None else act * x_in)
    counted = torch.from_numpy(rng.random(shape[:2]) < 0.8)
    ids = torch.from_numpy(rng.permutation(100)[: shape[0]])
    floor = torch.full((len(case_signs(gated=gated)), shape[2]), EMPTY)
    floor[:, ::2] = (1 << 62) + 17
    return Case(values, counted, ids, floor)


def require_equal(one: Reading, other: Reading, case: Case) -> None:
    """Counts, extremes and ranks are equal; sums up to what float32 additions round."""
    for name in ("n_in_case", "extreme", "key", "enters", "n_nonfinite"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    largest = max(float(x.nan_to_num(0, 0, 0).abs().max()) for x in case.values.tensors)
    step = torch.finfo(torch.float32).eps * max(1.0, largest) * case.counted.numel()
    near = (one.total - other.total).abs() <= step / SUM_STEP
    assert bool(near.all())


def same(one: Reading, other: Reading) -> bool:
    return all(
        x is y or (x is not None and y is not None and torch.equal(x, y))
        for x, y in zip(one, other, strict=True)
    )


def check_by_hand(case: Case, found: Reading) -> None:
    """Each field by its definition, in float64, a neuron and a sign case at a time."""
    signs = case_signs(gated=case.values.gate is not None)
    post, *reads = (x.double().numpy() for x in (case.values.post, *case.values.reads))
    counted = case.counted.numpy()[..., None]
    finite = np.isfinite([post, *reads]).all(axis=0)
    assert found.n_nonfinite.tolist() == (counted & ~finite).sum(axis=(1, 2)).tolist()
    assert found.position is not None
    for at, sign in enumerate(signs):
        there = counted & finite
        for read, s in zip(reads, sign, strict=True):
            there = there & (read * s > 0)
        assert found.n_in_case[at].tolist() == there.sum(axis=(0, 1)).tolist()
        for quantity, values in enumerate((post, *reads)):
            total = np.where(there, values, 0).sum(axis=(0, 1))
            assert found.total[quantity, at].numpy() * SUM_STEP == pytest.approx(total, abs=1e-4)
        for index, values in enumerate(reads):
            extreme = np.where(there, np.abs(values), 0).max(axis=(0, 1))
            assert found.extreme[index, at].tolist() == extreme.tolist()
        size = np.where(there, np.abs(post), -1)
        empty = size.max(axis=1) < 0
        assert ((found.key[:, at] == EMPTY).numpy() == empty).all()
        assert (found.position[:, at].numpy() == size.argmax(axis=1))[~empty].all()
        ids = case.context_ids[:, None].expand(empty.shape).numpy()
        assert (context_of(found.key[:, at]).numpy() == ids)[~empty].all()


shapes = st.tuples(st.integers(1, 5), st.integers(1, 70), st.integers(1, 40))


@given(st.integers(0, 10**6), shapes, st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_one_pass_finds_what_torch_and_float64_find(
    seed: int, shape: tuple[int, int, int], gated: bool, halved: bool
) -> None:
    case = made(seed, shape, gated, torch.bfloat16 if halved else torch.float32)
    found = case.read("fused")
    require_equal(found, case.read("plain"), case)
    check_by_hand(case, found)


@given(st.integers(0, 10**6), shapes, st.booleans())
@settings(max_examples=20, deadline=None)
def test_windows_are_the_same_to_the_last_bit(
    seed: int, shape: tuple[int, int, int], halved: bool
) -> None:
    post = made(seed, shape, dtype=torch.bfloat16 if halved else torch.float32).values.post
    rng = np.random.default_rng(seed)
    lengths, b, t, n = (
        torch.from_numpy(rng.integers(0, most, size))
        for most, size in zip((shape[1] + 1, *shape), (shape[0], 30, 30, 30), strict=True)
    )
    found = windows_at(post, lengths, b, t, n)
    assert all(map(torch.equal, found, _windows(post, lengths, b, t, n)))


def test_blocks_of_neurons_and_threads_change_nothing() -> None:
    case = made(3, (3, 100, 2 * WIDTH + 37))
    before = torch.get_num_threads()
    readings = []
    try:
        for n_threads in (1, 2, 5):
            torch.set_num_threads(n_threads)
            readings.append(case.read("fused"))
    finally:
        torch.set_num_threads(before)
    one, *others = readings
    require_equal(one, case.read("plain"), case)
    assert all(same(one, other) for other in others)


def test_values_that_are_parts_of_larger_tensors() -> None:
    case = made(4, (2, 9, 12))
    gate, x_in = torch.cat(case.values.reads, dim=-1).chunk(2, dim=-1)
    post = case.values.post.transpose(0, 1).contiguous().transpose(0, 1)
    apart = Case(MlpValues(gate, x_in, post), case.counted, case.context_ids, case.floor)
    assert not any(x.is_contiguous() for x in apart.values.tensors)
    assert same(apart.read("fused"), case.read("fused"))


def test_a_contexts_sum_depends_on_that_context_alone() -> None:
    case = made(5, (4, 90, 20))
    alone = [
        Case(
            MlpValues.of(x[row : row + 1, :80] for x in case.values.tensors),
            case.counted[row : row + 1, :80],
            case.context_ids[row : row + 1],
            case.floor,
        ).read("fused")
        for row in range(4)
    ]
    case.counted[:, 80:] = False
    together = case.read("fused")
    assert torch.equal(together.total, torch.stack([one.total for one in alone]).sum(0))


@pytest.mark.slow
def test_compiled_and_plain_agree() -> None:
    for shape in ((3, 24, 48), (2, 40, 48), (5, 8, 48)):
        case = made(6, shape)
        require_equal(case.read("compiled"), case.read("plain"), case)
