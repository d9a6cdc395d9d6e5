"""What an engine is, and what it computes: independent units of work, and passes over a corpus.

An engine knows no stage and no kind of pass.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

UnitT = TypeVar("UnitT")
UnitT_contra = TypeVar("UnitT_contra", contravariant=True)
RowsT = TypeVar("RowsT")
RowsT_co = TypeVar("RowsT_co", covariant=True)
StateT = TypeVar("StateT", bound="State")
StateT_co = TypeVar("StateT_co", bound="State", covariant=True)


class Work(Protocol[UnitT_contra, RowsT_co]):
    """Units that can be computed anywhere, in any order; it is pickled to go there."""

    @property
    def device(self) -> "torch.device": ...

    def compute_unit(self, unit: UnitT_contra) -> RowsT_co:
        """The result of one unit; the same wherever it is computed."""
        ...


class State(Protocol):
    """What a pass has learned from `units` of its corpus; merging is exact in any order."""

    units: set[int]

    def merge(self, other: Self) -> None:
        """Take in the state of other units."""
        ...

    def save(self, path: Path) -> None:
        """Write one file, whole or not at all."""
        ...


class Estimate(Protocol):
    """How fast one worker takes a pass through its corpus."""

    @property
    def seconds(self) -> float:
        """Expected for all units."""
        ...

    @property
    def tokens_per_second(self) -> float: ...

    @property
    def state_mb(self) -> float: ...


class Opening(Protocol[StateT_co]):
    """What a pass found out when it was opened. `description` is shown, `notes` are recorded."""

    @property
    def description(self) -> str: ...

    @property
    def notes(self) -> Mapping[str, Any]: ...

    def state(self, saved: Path, device: "torch.device") -> StateT_co:
        """The state in `saved` if it is one of this very pass, else an empty one.

        Raises EnvironmentFault if the file is there and cannot be read.
        """
        ...


class OpenPass(Protocol[StateT]):
    """A pass with its model loaded, in a process that has the corpus."""

    @property
    def opening(self) -> Opening[StateT]: ...

    @property
    def device(self) -> "torch.device":
        """Where the state is to be."""
        ...

    def measure(self) -> Estimate:
        """Time one unit."""
        ...

    def read(self, state: StateT, units: Sequence[int]) -> Generator[str, None, None]:
        """Bring units into the state; after each what the user should know of it, or ''."""
        ...


class Worker(Protocol):
    """Made where it works; `ready` is what it found out in being made."""

    @property
    def ready(self) -> Any: ...

    def compute(self, task: Any) -> Any:
        """The result of one task; the same on every worker."""
        ...


class Share(Protocol):
    """Some units of a pass and what a worker must be given to compute their state."""

    @property
    def units(self) -> Sequence[int]: ...


class WorkerReady(NamedTuple):
    """What a worker of a pass found out when it loaded its model."""

    opening: Opening[Any]
    estimate: Estimate


class Pass(Protocol[StateT]):
    """A reading of the units 0 .. n_units - 1 of a corpus, each by itself, into one state."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> "torch.device": ...

    @property
    def n_units(self) -> int: ...

    def open(self) -> OpenPass[StateT]:
        """Load the model in this process."""
        ...

    def worker(self) -> Callable[[], Worker]:
        """Makes, elsewhere, a worker that computes the state of a share; it is pickled.

        Its `ready` is a WorkerReady.
        """
        ...

    def share(self, units: Sequence[int], state: StateT) -> Share:
        """These units for a worker; `state` is what they will be merged into."""
        ...

    def gpus_each(self, gpu_bytes: int) -> int:
        """How many GPUs of that memory one worker needs."""
        ...

    def tables(self, state: StateT, layer: int) -> "Mapping[str, pa.Table]":
        """Rows of one layer by table, of a state that holds all units."""
        ...


class Progressed(NamedTuple):
    """Units that have come into a state, and what the user should know of them, or ''."""

    n_units: int
    note: str = ""


class Fold(Protocol[StateT]):
    """A pass in the hands of an engine. `description` and `notes` tell of the engine."""

    description: str
    n_workers: int

    @property
    def notes(self) -> Mapping[str, Any]: ...

    @property
    def opening(self) -> Opening[StateT]: ...

    @property
    def device(self) -> "torch.device":
        """Where the state is to be."""
        ...

    def estimate(self) -> Estimate: ...

    def read(
        self, state: StateT, units: Sequence[int], every_s: float
    ) -> Generator[Progressed, None, None]:
        """Bring units into the state, which is whole whenever something is yielded.

        That is at least about every `every_s` seconds, if no unit takes longer.
        """
        ...


class Engine(Protocol):
    """Computes units and passes; the rows are the same whichever engine did it."""

    def device(self, asked: str) -> "torch.device":
        """The device that workers compute on, for 'auto', 'cpu' or 'cuda'.

        Raises EnvironmentFault where there is none of that kind.
        """
        ...

    def map(
        self, work: Work[UnitT, RowsT], units: Iterable[UnitT]
    ) -> Iterator[tuple[UnitT, RowsT]]:
        """Every unit with its result; they come in any order."""
        ...

    def fold(self, taken: Pass[StateT]) -> Fold[StateT]:
        """Open a pass, ready to read."""
        ...
