"""Driving the pass: the model's own forward over the units, all layers at once, resumable."""

import time
from collections import deque
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor, nn

from catalog.errors import EnvironmentFault, ran_out_of_memory
from catalog.ingest.activations.contexts import (
    Batch,
    ContextReader,
    CountingRule,
    SampledPositions,
    Unit,
    read_batch,
)
from catalog.ingest.activations.hooks import (
    ExpertValues,
    MlpValues,
    TappedExperts,
    TappedMlp,
    tap_mlps,
)
from catalog.ingest.activations.kernel import Kernel
from catalog.ingest.activations.packed import Packed
from catalog.ingest.activations.reading import EMPTY
from catalog.ingest.activations.state import ActivationState, PassPlan, require_same_plan
from catalog.ingest.within import tell_done

MEASURED_SHARE: Final = 32
"""At most one context of so many is measured with before a pass."""

Place: TypeAlias = tuple[int, int]
"""A layer, and the first neuron of the MLP or expert within it."""


@dataclass(frozen=True)
class ActivationPass:
    """A model, a corpus, and how the one reads the other."""

    model: nn.Module  # base model without LM head, in eval mode
    mlps: Sequence[TappedMlp | TappedExperts]  # of the model, by layer
    reader: ContextReader
    units: Sequence[Unit]
    samples: SampledPositions
    rule: CountingRule
    kernel: Kernel
    plan: PassPlan

    @property
    def device(self) -> torch.device:
        """Where the model is, and the state with it."""
        return next(self.model.parameters()).device


class UnitDone(NamedTuple):
    """Told after every unit."""

    n_tokens: int  # by this call, padding included
    seconds: float  # since this call began
    n_parts: int  # 1, or into how many the unit was cut for want of memory


class Estimate(NamedTuple):
    """What `measure` found."""

    seconds: float  # expected for all units
    tokens_per_second: float  # padding included, once the lists are full
    state_mb: float


class Recorder:
    """The tap: hands every layer of the current batch to the state.

    `least` are rank keys that a context must exceed too, beside those of the state's last places:
    the last places of a state that this one will be merged with.
    """

    def __init__(
        self,
        work: ActivationPass,
        state: ActivationState,
        least: Int[Tensor, "l case n"] | None = None,
    ) -> None:
        self.work, self.state, self.least = work, state, least

    def begin(self, batch: Batch, done: Collection[Place] = ()) -> None:
        """Expect the layers of `batch`; those in `done` are in the state already."""
        self.batch, self.done = batch, set(done)
        self.nonfinite: list[tuple[int, Int[Tensor, " b"]]] = []
        rows = {context: row for row, context in enumerate(batch.context_ids.tolist())}
        samples = enumerate(zip(*map(ndarray.tolist, self.work.samples), strict=True))
        here = [(rows[c], p, s) for s, (c, p) in samples if c in rows]
        self.samples = torch.tensor(here, dtype=torch.int64, device=self.work.device).view(-1, 3).T

    def __call__(self, layer: int, values: MlpValues) -> None:
        """Read a layer that has no experts."""
        self._read(layer, 0, values)

    def expert(self, layer: int, seen: ExpertValues) -> None:
        """Read one expert of a layer."""
        if seen.positions is None:
            n_asked = self.batch.counted.sum()
            fresh = self._read(layer, seen.first, seen.values)
        else:
            positions = seen.positions.to(self.work.device)
            n_asked = self.batch.counted.flatten()[positions].sum()
            fresh = self._read_routed(layer, seen.first, positions, seen.values)
        if fresh and self.state.asked is not None:
            n = seen.values.post.shape[-1]
            self.state.asked[layer, seen.first : seen.first + n] += n_asked

    def _read(self, layer: int, first: int, values: MlpValues) -> bool:
        """Bring neurons from `first` on into the state, unless they are there; whether so."""
        if (layer, first) in self.done:
            return False
        batch, values = self.batch, self._here(values)
        floor = self._floor(layer, first, values)
        reading = self.work.kernel.read(values, batch.counted, batch.context_ids, floor)
        self.state.update(layer, batch, values, reading, first)
        if self.samples.shape[1]:
            row, position, sample = self.samples
            n = values.post.shape[-1]
            post = values.post[row, position].nan_to_num(0.0, 0.0, 0.0)
            self.state.sample[layer, sample, first : first + n] = post
        self._finish(layer, first, reading.n_nonfinite)
        return True

    def _read_routed(
        self, layer: int, first: int, positions: Int[Tensor, " r"], values: MlpValues
    ) -> bool:
        """As `_read`, of an expert that some positions are routed to: these alone are read."""
        if (layer, first) in self.done:
            return False
        batch, values = self.batch, self._here(values)
        if len(positions) == 0:
            self._finish(layer, first, None)
            return True
        packed = Packed.of(batch, positions)
        floor = self._floor(layer, first, values)
        read = self.work.kernel.read(
            packed.packed(values), packed.counted, packed.context_ids(batch), floor
        )
        reading = packed.unpacked(read, batch)
        there, asked = values, None
        if bool(reading.enters.any()):
            there, asked = packed.spread(values, batch)
        self.state.update(layer, batch, there, reading, first, asked)
        self._sample_routed(layer, first, positions, values)
        self._finish(layer, first, reading.n_nonfinite)
        return True

    def _sample_routed(
        self, layer: int, first: int, positions: Int[Tensor, " r"], values: MlpValues
    ) -> None:
        row, position, sample = self.samples
        if len(sample) == 0:
            return
        wanted = row * self.batch.tokens.shape[1] + position
        at = torch.searchsorted(positions, wanted).clamp(max=len(positions) - 1)
        routed = positions[at] == wanted
        n = values.post.shape[-1]
        post = values.post[at[routed]].nan_to_num(0.0, 0.0, 0.0)
        self.state.sample[layer, sample[routed], first : first + n] = post

    def _here(self, values: MlpValues) -> MlpValues:
        # A model spread over several devices computes some layers elsewhere.
        return MlpValues.of(value.to(self.work.device) for value in values.tensors)

    def _floor(self, layer: int, first: int, values: MlpValues) -> Int[Tensor, "case n"]:
        floor = self.state.floor(layer)
        if self.least is not None:
            floor = torch.maximum(floor, self.least[layer])
        return floor[:, first : first + values.post.shape[-1]].contiguous()

    def _finish(self, layer: int, first: int, n_nonfinite: Int[Tensor, " b"] | None) -> None:
        if n_nonfinite is not None:
            self.nonfinite.append((layer, n_nonfinite))
        self.done.add((layer, first))
        plan = self.work.plan
        tell_done((layer + plan.sizes.is_dense(layer)) / plan.n_layers)

    def end(self) -> None:
        """Note what was not finite in the layers read since `begin`."""
        if not self.nonfinite:
            return
        layers = [layer for layer, _ in self.nonfinite]
        counts = torch.stack([n for _, n in self.nonfinite]).cpu()
        ids = self.batch.context_ids.tolist()
        places = counts.nonzero().tolist()
        self.state.add_nonfinite(((layers[i], ids[row]), int(counts[i, row])) for i, row in places)


def read_units(
    work: ActivationPass,
    state: ActivationState,
    units: Sequence[int],
    least: Int[Tensor, "l case n"] | None = None,
) -> Generator[UnitDone, None, None]:
    """Bring those of `units` that `state` does not hold yet into it; yields after each.

    `least` as in `Recorder`: contexts that no merged top-k can hold are left out. After an
    exception the state is of no use.

    Raises:
        MismatchError: `state` is of another pass.
        EnvironmentFault: not even one context fits in memory.
    """
    require_same_plan(work.plan, state.plan)
    todo = [unit for unit in units if unit not in state.units]
    started = time.monotonic()
    n_tokens = 0
    recorder = Recorder(work, state, least)
    with recording(work, recorder), closing(_read_ahead(work, todo)) as batches:
        for unit, batch in batches:
            with torch.inference_mode():
                n_parts = _run_unit(work, state, recorder, unit, batch)
            n_tokens += work.units[unit].n_slots
            yield UnitDone(n_tokens, time.monotonic() - started, n_parts)


def _read_ahead(
    work: ActivationPass, todo: Sequence[int]
) -> Generator[tuple[int, Batch], None, None]:
    """The batches of these units on the host; for a GPU each is read while it computes another."""

    def read(u: int) -> Batch:
        return read_batch(work.reader, work.units[u], work.rule)

    if work.device.type == "cpu":  # which has no time to read while it computes
        yield from ((u, read(u)) for u in todo)
        return
    with ThreadPoolExecutor(1) as thread:
        reading: deque[Future[Batch]] = deque(thread.submit(read, u) for u in todo[:1])
        for u, after in zip_longest(todo, todo[1:]):
            batch = reading.popleft().result().pinned()
            if after is not None:
                reading.append(thread.submit(read, after))
            yield u, batch


def _run_unit(
    work: ActivationPass, state: ActivationState, recorder: Recorder, u: int, on_host: Batch
) -> int:
    batch = on_host.to(work.device)
    n_parts = forward(work, recorder, batch)
    sampled = np.isin(work.samples.context_ids, work.units[u].context_ids)
    state.sampled |= torch.from_numpy(sampled).to(work.device)
    state.n_positions += int(on_host.counted.sum())
    state.units.add(u)
    if n_parts > 1:
        state.halved[u] = n_parts
    return n_parts


def recording(work: ActivationPass, recorder: Recorder) -> AbstractContextManager[None]:
    """Within the context, forward passes of the model are read by `recorder`."""
    return tap_mlps(work.mlps, recorder, recorder.expert)


def forward(
    work: ActivationPass, recorder: Recorder, batch: Batch, done: Collection[Place] = ()
) -> int:
    """Forward `batch`, in halves where memory runs out; returns the number of parts.

    The state then holds the layers that were read before, so the halves go on after them.
    """
    recorder.begin(batch, done)
    try:
        work.model(input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False)
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        if len(batch.context_ids) == 1:
            raise EnvironmentFault(
                f"One context of {batch.tokens.shape[1]} tokens does not fit in memory."
            ) from error
    else:
        return 1
    finally:
        recorder.end()
    if work.device.type == "cuda":
        torch.cuda.empty_cache()
    half, reached = len(batch.context_ids) // 2, frozenset(recorder.done)
    parts = (batch.rows(slice(None, half)), batch.rows(slice(half, None)))
    return sum(forward(work, recorder, part, reached) for part in parts)


def measure(work: ActivationPass, unit: int = 0) -> Estimate:
    """Time a unit while lists fill and when they are full, and extrapolate to all units.

    Works on a state of its own, which is freed again.
    """
    state = ActivationState.empty(work.plan, work.device)
    n_contexts = sum(len(u.context_ids) for u in work.units)
    batch = read_batch(work.reader, work.units[unit], work.rule).to(work.device)
    # Of a corpus of few units a part of one: measuring may not take as long as the pass.
    batch = batch.rows(slice(None, max(1, n_contexts // MEASURED_SHARE)))
    recorder = Recorder(work, state)

    def timed(floor: int) -> float:
        state.key.fill_(floor)
        synchronise(work.device)
        start = time.perf_counter()
        with torch.inference_mode(), recording(work, recorder):
            forward(work, recorder, batch)
        synchronise(work.device)
        return time.perf_counter() - start

    timed(EMPTY)  # what a first pass allocates and compiles is not timed
    filling, full = timed(EMPTY), timed(torch.iinfo(torch.int64).max)
    per_slot = full / batch.tokens.numel()
    n_slots = sum(u.n_slots for u in work.units)
    n_entering = entering(n_contexts, work.plan.k) / entering(len(batch.context_ids), work.plan.k)
    of_mean_length = n_slots / n_contexts / batch.tokens.shape[1]
    return Estimate(
        seconds=per_slot * n_slots + max(0.0, filling - full) * n_entering * of_mean_length,
        tokens_per_second=1 / per_slot,
        state_mb=state.mb,
    )


def entering(n_contexts: int, k: int) -> float:
    """How many contexts enter a list of the k strongest, on average, if they come in any order.

    The i-th is among the k strongest of the first i with probability k/i.
    """
    return float(np.minimum(1.0, k / np.arange(1, n_contexts + 1)).sum())


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
