"""The engine that computes on a Ray cluster: every worker has a replica of the model or stage."""

import logging
import math
import os
import re
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic

import ray
import torch

from catalog.errors import EnvironmentFault, Option, UsageError
from catalog.ingest.engines.engine import (
    Estimate,
    Opening,
    Pass,
    Progressed,
    RowsT,
    Share,
    StateT,
    UnitT,
    Work,
    Worker,
    WorkerReady,
)
from catalog.ingest.engines.pool import Pool
from catalog.ingest.progress import Progress

CONNECT_WITHIN_S: Final = 10.0
_CHECK_ADDRESS: Final = ("Check ", Option("ray_address"), " and `ray status` there.")


@contextmanager
def cluster(address: str | None, n_workers: int | None) -> Iterator[None]:
    """A connection to the cluster at `address`, or to one started here for the length of the block.

    Raises EnvironmentFault if the cluster cannot be reached or started.
    """
    _require_listener(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Without this Ray changes what CUDA devices a worker without GPUs sees, and warns about it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(
            address=address or "local",
            num_cpus=None if address else max(n_workers or 1, os.cpu_count() or 1),
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises bare ones, as of a node that comes up too late
        where = f"at {address}" if address else "on this machine"
        said = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise EnvironmentFault(f"Ray {where} cannot be used: {said}.", *_CHECK_ADDRESS) from error
    try:
        # Ray prints what befell its nodes on standard output, which is not its own.
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        ray.shutdown()


def _require_listener(address: str | None) -> None:
    """Refuse a host and port where nobody listens: Ray would try again for minutes."""
    found = re.fullmatch(r"(?:ray://)?(?P<host>[^:/]+):(?P<port>\d+)", address or "")
    if found is None:
        return
    try:
        socket.create_connection((found["host"], int(found["port"])), CONNECT_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise EnvironmentFault(
            f"Ray at {address} cannot be used: nobody answers there ({error}).", *_CHECK_ADDRESS
        ) from error


class RayEngine:
    """Gives units, and shares of a pass, to workers; the rows are those of the local engine.

    Args:
        n_workers: as the user asked; None takes every GPU, or a worker on each node.
        progress: is told of workers that died.
    """

    def __init__(self, n_workers: int | None, progress: Progress) -> None:
        self.n_workers = n_workers
        self.progress = progress
        self._pool: Pool | None = None

    def device(self, asked: str) -> torch.device:
        n_gpus = _total("GPU")
        if asked == "cuda" and not n_gpus:
            raise EnvironmentFault(
                "The Ray cluster has no GPU.", "Use ", Option("device", "cpu"), ", or auto."
            )
        return torch.device("cuda" if n_gpus and asked != "cpu" else "cpu")

    def map(
        self, work: Work[UnitT, RowsT], units: Iterable[UnitT]
    ) -> Iterator[tuple[UnitT, RowsT]]:
        todo = list(units)
        if todo:
            yield from self._pool_of(partial(_MapWorker, work), work.device, 1).each(todo)

    def fold(self, taken: Pass[StateT]) -> "RayFold[StateT]":
        n_gpus = 0
        if taken.device.type == "cuda":
            n_gpus = taken.gpus_each(ray.get(ray.remote(num_gpus=1)(_gpu_bytes).remote()))
        return RayFold(taken, self._pool_of(taken.worker(), taken.device, n_gpus))

    def _pool_of(self, make: Callable[[], Worker], device: torch.device, gpus_each: int) -> Pool:
        """The workers, each of which holds what `make` makes; as many as asked for, or as fit."""
        n, resources = _crew(self.n_workers, device, gpus_each)
        pool = self._pool
        if pool is None or (pool.n_workers, pool.resources) != (n, resources):
            if pool is not None:
                pool.close()
            pool = self._pool = Pool(n, resources, self.progress)
        pool.set_to(make)
        return pool


def _crew(asked: int | None, device: torch.device, gpus_each: int) -> tuple[int, dict[str, int]]:
    """How many workers, and what each takes of the cluster; UsageError where it has not as much."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if device.type == "cuda":
        most, each = _total("GPU") // gpus_each, f"{gpus_each} GPU"
    else:
        most, each = _total("CPU"), "1 CPU"
    n = asked or (most if device.type == "cuda" else len(nodes))
    if n > most or n == 0:
        raise UsageError(
            f"{n} workers of {each} each were asked for, but the Ray cluster has room for {most}.",
            "Use fewer ",
            Option("workers"),
            ", or add nodes.",
        )
    if device.type == "cuda":
        return n, {"num_cpus": 1, "num_gpus": gpus_each}
    smallest = min(int(node["Resources"]["CPU"]) for node in nodes)
    return n, {"num_cpus": max(1, smallest // math.ceil(n / len(nodes)))}


def _total(resource: str) -> int:
    return int(ray.cluster_resources().get(resource, 0))


def _gpu_bytes() -> int:
    return torch.cuda.get_device_properties(0).total_memory


class _MapWorker:
    """Computes units of work."""

    ready = None

    def __init__(self, work: Work[Any, Any]) -> None:
        self.work = work

    def compute(self, task: Any) -> Any:
        return self.work.compute_unit(task)


class RayFold(Generic[StateT]):
    """A pass in the hands of workers; its state is merged here, in host memory."""

    device = torch.device("cpu")

    def __init__(self, taken: Pass[StateT], pool: Pool) -> None:
        self._taken = taken
        self._pool = pool
        self._ready: WorkerReady = pool.started()
        self.opening: Opening[StateT] = self._ready.opening
        self.n_workers = pool.n_workers
        self.description = f"{pool.n_workers} Ray workers on {taken.device.type}"

    @property
    def notes(self) -> dict[str, Any]:
        return {
            "engine": "ray",
            "workers": self._pool.n_workers,
            "workers_lost": self._pool.n_lost,
        }

    def estimate(self) -> Estimate:
        return self._ready.estimate

    def read(
        self, state: StateT, units: Sequence[int], every_s: float
    ) -> Generator[Progressed, None, None]:
        if not units:
            return
        per_second = self._taken.n_units / self._ready.estimate.seconds
        most = max(1, int(every_s * per_second))
        for share, part in self._pool.each(self._shares(state, deque(units), most)):
            state.merge(part)
            yield Progressed(len(share.units))

    def _shares(self, state: StateT, left: deque[int], most: int) -> Iterator[Share]:
        """What is left, cut into shares of at most `most` units, smaller towards the end."""
        while left:
            n = min(most, math.ceil(len(left) / (2 * self.n_workers)))
            units = [left.popleft() for _ in range(n)]
            yield self._taken.share(units, state)
