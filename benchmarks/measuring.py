"""What the benchmarks share: interleaved timing, memory of this process, showing a number."""

import os
import resource
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import click

MB = 1e6


class Seconds(NamedTuple):
    """What one run of an action took: on the clock, and of all threads and processes it started."""

    wall: float
    cpu: float


Timings = dict[str, list[Seconds]]


def interleaved(
    actions: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 1
) -> Timings:
    """Time each action, taken in turn, so that other load falls on all of them alike."""
    timings: Timings = {name: [] for name in actions}
    for repeat in range(warm_up + repeats):
        for name, action in actions.items():
            wall, cpu = time.perf_counter(), cpu_seconds()
            action()
            taken = Seconds(time.perf_counter() - wall, cpu_seconds() - cpu)
            if repeat >= warm_up:
                timings[name].append(taken)
    return timings


def cpu_seconds() -> float:
    """CPU time of this process so far, with that of the processes it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def show_ratio(timings: Timings, name: str, baseline: str, target: float) -> None:
    """Both actions, then the median over the rounds of their ratio: wall, and CPU.

    On a busy machine with one thread, the ratio of CPU times is the one to trust.
    """
    for each in (baseline, name):
        wall, cpu = (statistics.median(values) for values in zip(*timings[each], strict=True))
        click.echo(f"{each:<58} {wall:9.3f} s wall {cpu:9.3f} s CPU")
    for clock, value in median_ratio(timings, name, baseline)._asdict().items():
        show(f"{name} / {baseline}, {clock} time, median of rounds", value, target, "x")


def median_ratio(timings: Timings, name: str, baseline: str) -> Seconds:
    """How many times as long an action takes as its baseline: on the clock, and of CPU time."""
    pairs = [*zip(timings[name], timings[baseline], strict=True)]
    wall, cpu = (statistics.median(one[at] / other[at] for one, other in pairs) for at in (0, 1))
    return Seconds(wall, cpu)


def show(what: str, value: float, target: float | None = None, unit: str = "") -> None:
    """One line: the number, and beside it its target."""
    beside = ""
    if target is not None:
        beside = f"   target <= {target:g}{unit}   {'met' if value <= target else 'MISSED'}"
    click.echo(f"{what:<58} {value:9.3f}{unit}{beside}")


def show_machine(threads: int | None = None) -> None:
    """Cores and load: the numbers of a busy machine are worth less."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    with_threads = f", {threads} threads" if threads else ""
    click.echo(f"{os.cpu_count()} cores{with_threads}, load {load}")


class PeakMemory:
    """Highest anonymous memory (RssAnon, MB) of this process while the block runs, polled.

    RssAnon leaves out pages of mapped files (the checkpoint, libraries): the kernel drops those
    when others need the memory. `ru_maxrss` counts them.
    """

    def __init__(self, every_s: float = 0.005) -> None:
        self.anonymous = 0.0
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(self._every_s):
            self.anonymous = max(self.anonymous, status_mb("RssAnon"))


def status_mb(field: str) -> float:
    """A line of /proc/self/status that is given in kB, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / MB
    raise KeyError(field)


def max_rss_mb() -> float:
    """Highest resident memory of this process ever, mapped files included, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
