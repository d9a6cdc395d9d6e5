"""Ray actors that hold the same worker; one that dies is replaced, and its task given again."""

import pickle
import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import ray
from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError

from catalog.errors import CatalogError, EnvironmentFault, Option
from catalog.ingest.engines.engine import Worker
from catalog.ingest.progress import Progress
from catalog.ingest.threads import sleep_while_waiting
from catalog.ingest.versions import versions

DEATHS_ALLOWED: Final = 3
"""So often may workers die over the same task before it is taken to be what kills them."""

TELL_EVERY_S: Final = 60.0


class Refused(NamedTuple):
    """An error of ours that a worker raised, as a value: Ray would wrap it in its traceback."""

    error: CatalogError


class Host:
    """The actor: makes the worker it is told to make, then has it compute."""

    worker: Worker | None = None

    def start(self, make: bytes, wanted: Mapping[str, str]) -> Any:
        """Make a worker in place of the one before; returns what it has to say."""
        here = versions()
        other = [f"{n} {here[n]} instead of {wanted[n]}" for n in wanted if here[n] != wanted[n]]
        if other:
            return Refused(
                EnvironmentFault(
                    f"The node {platform.node()} has {', '.join(other)}: install the same "
                    "versions on every node of the cluster."
                )
            )
        self.worker = None
        sleep_while_waiting()
        try:
            # Unpickled here, for that opens the checkpoint, which may not be there.
            self.worker = pickle.loads(make)()
        except CatalogError as error:
            return Refused(error)
        return self.worker.ready

    def compute(self, task: Any) -> Any:
        """The worker's result."""
        assert self.worker is not None
        try:
            return self.worker.compute(task)
        except CatalogError as error:
            return Refused(error)


class _Duty(NamedTuple):
    """What an actor is at; `task` None is starting."""

    actor: Any
    task: Any
    deaths: int


class Pool:
    """Some actors and what they are at, for one kind of work after another.

    Args:
        n_workers: how many.
        resources: of each, as Ray's `num_cpus` and `num_gpus`.
        progress: is told of workers that died.
    """

    def __init__(self, n_workers: int, resources: Mapping[str, int], progress: Progress) -> None:
        self.n_workers = n_workers
        self.resources = resources
        self.n_lost = 0
        self._progress = progress
        self._new_actor = ray.remote(Host).options(**resources).remote
        self._free: list[Any] = []
        self._duties: dict[Any, _Duty] = {}
        self._again: deque[tuple[Any, int]] = deque()

    def set_to(self, make: Callable[[], Worker]) -> None:
        """Have every actor make a worker, instead of what it held or was at."""
        for duty in self._duties.values():
            ray.kill(duty.actor)
        idle = self._free
        self._again.clear()
        self._duties.clear()
        self._free = []
        self._order = (ray.put(pickle.dumps(make)), versions())
        for actor in [*idle, *(self._new_actor() for _ in range(self.n_workers - len(idle)))]:
            self._start(actor, 0)

    def started(self) -> Any:
        """Wait for the first worker to be made; returns what it had to say."""
        while True:
            duty, result = self._next()
            if duty is not None:
                self._free.append(duty.actor)
                return result

    def each(self, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Every task with its result, as they come; a task is drawn when a worker is free for it.

        Raises what a worker raised, and EnvironmentFault for a task over which workers die.
        """
        fresh = ((task, 0) for task in tasks)
        while True:
            self._assign(fresh)
            # A free worker now means that there is no task left to draw.
            if self._free and all(duty.task is None for duty in self._duties.values()):
                return
            duty, result = self._next()
            if duty is None:
                continue
            self._free.append(duty.actor)
            if duty.task is not None:
                yield duty.task, result

    def close(self) -> None:
        """End the actors, so that others can have their resources."""
        for actor in [*self._free, *(duty.actor for duty in self._duties.values())]:
            ray.kill(actor)

    def _assign(self, fresh: Iterator[tuple[Any, int]]) -> None:
        while self._free:
            drawn = self._again.popleft() if self._again else next(fresh, None)
            if drawn is None:
                return
            actor = self._free.pop()
            task, deaths = drawn
            self._duties[actor.compute.remote(task)] = _Duty(actor, task, deaths)

    def _next(self) -> tuple[_Duty | None, Any]:
        """The next duty that is done and its result; None where a worker died over it."""
        done: list[Any] = []
        while not done:
            done, _ = ray.wait(list(self._duties), num_returns=1, timeout=TELL_EVERY_S)
            if not done and all(duty.task is None for duty in self._duties.values()):
                self._progress.note("still waiting for a worker: Ray has none ready yet")
        duty = self._duties.pop(done[0])
        try:
            result = ray.get(done[0])
        except (RayActorError, ObjectLostError, OutOfMemoryError) as error:
            self._replace(duty, error)
            return None, None
        if isinstance(result, Refused):
            self._free.append(duty.actor)
            raise result.error
        return duty, result

    def _replace(self, duty: _Duty, error: Exception) -> None:
        self.n_lost += 1
        deaths = duty.deaths + 1
        if duty.task is not None:
            self._again.append((duty.task, deaths))
        if deaths == DEATHS_ALLOWED:
            raise EnvironmentFault(
                f"{deaths} workers died one after another at the same work; the last: "
                f"{str(error).splitlines()[0]}",
                "Give them more memory, or use fewer ",
                Option("workers"),
                ". What was computed is kept; the same command carries on.",
            ) from error
        self._progress.note("a worker died; another takes its place and does its work again")
        self._start(self._new_actor(), 0 if duty.task is not None else deaths)

    def _start(self, actor: Any, deaths: int) -> None:
        self._duties[actor.start.remote(*self._order)] = _Duty(actor, None, deaths)
