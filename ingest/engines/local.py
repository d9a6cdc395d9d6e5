"""The engine that computes everything in this process, on one device."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Generic

import torch

from catalog.ingest.device import pick_device
from catalog.ingest.engines.engine import (
    Estimate,
    Opening,
    OpenPass,
    Pass,
    Progressed,
    RowsT,
    StateT,
    UnitT,
    Work,
)


class LocalEngine:
    """One unit after another; the state of a pass stays on the device until it is finished."""

    def device(self, asked: str) -> torch.device:
        return pick_device(asked)

    def map(
        self, work: Work[UnitT, RowsT], units: Iterable[UnitT]
    ) -> Iterator[tuple[UnitT, RowsT]]:
        return ((unit, work.compute_unit(unit)) for unit in units)

    def fold(self, taken: Pass[StateT]) -> "LocalFold[StateT]":
        return LocalFold(taken.open())


class LocalFold(Generic[StateT]):
    """A pass whose model is loaded here."""

    description = ""
    n_workers = 1

    def __init__(self, opened: OpenPass[StateT]) -> None:
        self._opened = opened
        self.opening: Opening[StateT] = opened.opening
        self.device = opened.device
        self.notes: dict[str, Any] = {}

    def estimate(self) -> Estimate:
        return self._opened.measure()

    def read(
        self, state: StateT, units: Sequence[int], every_s: float
    ) -> Generator[Progressed, None, None]:
        with closing(self._opened.read(state, units)) as notes:
            for note in notes:
                yield Progressed(1, note)
