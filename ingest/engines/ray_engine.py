"""The engine that computes on a Ray cluster: every worker has a replica of the model or stage."""

import logging
import math
import os
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Final

import ray
import torch

from catalog.errors import EnvironmentFault, UsageError
from catalog.ingest.activations.contexts import Unit, plan_units
from catalog.ingest.activations.estimating import announce, resumed_state
from catalog.ingest.activations.job import PassJob
from catalog.ingest.activations.model import gpus_needed, weight_bytes
from catalog.ingest.activations.state import ActivationState
from catalog.ingest.corpus import TokenisedCorpus
from catalog.ingest.engines.engine import FinishedPass, Part, PartRows, PartsStage
from catalog.ingest.engines.pool import Pool
from catalog.ingest.engines.workers import PartsWorker, PassWorker, Share, StartedPass, Worker
from catalog.ingest.progress import Progress

CONNECT_WITHIN_S: Final = 10.0
_CPU: Final = torch.device("cpu")


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
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        raise EnvironmentFault(
            f"Ray {where} cannot be used: {str(error).splitlines()[0].rstrip('.')}. Check "
            "--ray-address and `ray status` there."
        ) from error
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
            f"Ray at {address} cannot be used: nobody answers there ({error}). Check --ray-address "
            "and `ray status` there."
        ) from error


class RayEngine:
    """Gives parts and shares of a pass to workers; the rows are those of the local engine.

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
            raise EnvironmentFault("The Ray cluster has no GPU. Use --device cpu, or auto.")
        return torch.device("cuda" if n_gpus and asked != "cpu" else "cpu")

    def parts(self, stage: PartsStage, parts: Iterable[Part]) -> Iterator[tuple[Part, PartRows]]:
        todo = list(parts)
        if todo:
            yield from self._pool_of(partial(PartsWorker, stage), stage.device, 1).each(todo)

    def run_pass(
        self,
        job: PassJob,
        corpus: TokenisedCorpus,
        saved: Path,
        checkpoint_every_s: float,
        progress: Progress,
    ) -> FinishedPass:
        units = plan_units(job.lengths, job.tokens_per_batch)
        make = partial(PassWorker, job, _share(corpus, units, [0], None))
        pool = self._pool_of(make, job.device, _gpus_per_worker(job))
        started: StartedPass = pool.started()
        state = resumed_state(saved, started.plan, _CPU)
        left = deque(u for u in range(len(units)) if u not in state.units)
        progress.note(
            f"activations: {pool.n_workers} Ray workers on {job.device.type}, "
            f"{started.plan.kernel} reading of the sign cases"
        )
        announce(started.estimate, len(left) / len(units), pool.n_workers, progress)
        progress.begin("activations", len(units), len(state.units))
        per_second = started.estimate.tokens_per_second / job.tokens_per_batch
        most = max(1, int(checkpoint_every_s * per_second))
        last_saved = time.monotonic()
        for share, part in pool.each(_shares(corpus, units, left, state, most, pool.n_workers)):
            state.merge(part)
            progress.advance(len(share.units))
            if time.monotonic() - last_saved >= checkpoint_every_s:
                state.save(saved)
                last_saved = time.monotonic()
        state.save(saved)
        progress.end()
        workers = {"workers": pool.n_workers, "workers_lost": pool.n_lost}
        return FinishedPass(state, started.notes | {"engine": "ray"} | workers)

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
            f"{n} workers of {each} each were asked for, but the Ray cluster has room for "
            f"{most}. Use fewer --workers, or add nodes."
        )
    if device.type == "cuda":
        return n, {"num_cpus": 1, "num_gpus": gpus_each}
    smallest = min(int(node["Resources"]["CPU"]) for node in nodes)
    return n, {"num_cpus": max(1, smallest // math.ceil(n / len(nodes)))}


def _total(resource: str) -> int:
    return int(ray.cluster_resources().get(resource, 0))


def _gpus_per_worker(job: PassJob) -> int:
    """GPUs that a replica of the model needs, by the memory of one of the cluster's."""
    if job.device.type != "cuda":
        return 0
    probe = ray.remote(num_gpus=1)(_gpu_bytes)
    n_bytes = weight_bytes(job.weights.checkpoint, getattr(torch, job.dtype))
    return gpus_needed(n_bytes, ray.get(probe.remote()))


def _gpu_bytes() -> int:
    return torch.cuda.get_device_properties(0).total_memory


def _shares(
    corpus: TokenisedCorpus,
    units: list[Unit],
    left: deque[int],
    state: ActivationState,
    most: int,
    n_workers: int,
) -> Iterator[Share]:
    """Cut what is left into shares: of at most `most` units, smaller towards the end.

    What `state` holds when a share is drawn tells its worker which contexts come too late.
    """
    while left:
        n = min(most, math.ceil(len(left) / (2 * n_workers)))
        taken = [left.popleft() for _ in range(n)]
        yield _share(corpus, units, taken, state.key[..., -1].clone())


def _share(
    corpus: TokenisedCorpus, units: list[Unit], taken: list[int], least: torch.Tensor | None
) -> Share:
    context_ids = [context_id for u in taken for context_id in units[u].context_ids.tolist()]
    tokens = dict(zip(context_ids, corpus.tokens(context_ids), strict=True))
    return Share(taken, tokens, least)
