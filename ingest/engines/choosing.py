"""Which engine an ingest uses."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from catalog.errors import EnvironmentFault, Option, UsageError
from catalog.ingest.engines.engine import Engine
from catalog.ingest.progress import Progress

EngineName = Literal["local", "ray"]

_ON_RAY: Final = Option("engine", "ray")


@dataclass(frozen=True)
class EngineChoice:
    """The engine asked for; `ray_address` and `workers` go with Ray alone.

    `ray_address` None starts Ray on this machine. `workers` None takes as many as there are GPUs,
    or CPU nodes where there are none.

    Raises UsageError for options that do not go together.
    """

    engine: EngineName = "local"
    ray_address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.engine == "local" and (self.ray_address or self.workers):
            raise UsageError(
                "", Option("ray_address"), " and ", Option("workers"), " go with ", _ON_RAY, "."
            )


@contextmanager
def open_engine(choice: EngineChoice, progress: Progress) -> Iterator[Engine]:
    """The engine, for the length of the block.

    Raises EnvironmentFault where Ray is not installed, or its cluster cannot be reached.
    """
    if choice.engine == "local":
        from catalog.ingest.engines.local import LocalEngine

        yield LocalEngine()
        return
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            "",
            _ON_RAY,
            " needs Ray, which is not installed here: pip install 'neuron-catalog[ray]'",
        ) from error
    from catalog.ingest.engines.ray_engine import RayEngine, cluster

    with cluster(choice.ray_address, choice.workers):
        yield RayEngine(choice.workers, progress)
