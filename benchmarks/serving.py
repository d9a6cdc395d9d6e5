"""Pages of a catalog made by `catalog_4m.py`, asked by one client and by many, with their targets.

Every page is asked for once, so that none comes from memory; an ingest of the demo may run
meanwhile, again and again.
"""

import http.client
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import click
from measuring import show, show_machine

MODEL = "olmo-7b-0424"
SHAPE = (32, 11_008)
CLASSES = ("enrichment", "conditional enrichment", "depletion", "proportional change")
TARGETS_S = {1: {"neuron": 0.1, "list": 0.3, "map": 0.3}, 20: {"neuron": 0.4, "list": 1.2}}
"""By clients and kind of page; p95 of neurons, the slowest of lists."""

Maker = Callable[[random.Random], str]


def _neuron(rng: random.Random) -> str:
    return f"/m/{MODEL}/{rng.randrange(SHAPE[0])}/{rng.randrange(SHAPE[1])}"


def _list(path: str, **parameters: object) -> str:
    return f"{path}?{urlencode(parameters)}"


def _of_class(rng: random.Random) -> str:
    at = {
        "class": rng.choice(CLASSES),
        "layer": rng.randrange(SHAPE[0]),
        "k": rng.randrange(20, 70),
    }
    return _list("/find", model=MODEL, **at)


def _of_order(rng: random.Random) -> str:
    order = rng.choice(("cos_in_out", "kurtosis", "norm"))
    return _list("/find", model=MODEL, order=order, page=rng.randrange(1, 50))


def _of_layers(rng: random.Random) -> str:
    layers = f"{rng.randrange(16)},{rng.randrange(16, 32)}"
    return _list("/find", model=MODEL, layer=layers, k=rng.randrange(20, 70))


def _of_model(rng: random.Random) -> str:
    return _list(f"/m/{MODEL}", threshold=round(rng.uniform(0.3, 0.7), 4))


def _of_extremes(rng: random.Random) -> str:
    return _list("/queries/extremes", model=MODEL, k=rng.randrange(5, 40))


def _map(rng: random.Random) -> str:
    return _list(f"/m/{MODEL}/map.f32", colour="io_class", again=rng.random())


KINDS: dict[str, tuple[Maker, ...]] = {
    "neuron": (_neuron,),
    "list": (_of_class, _of_order, _of_layers, _of_model, _of_extremes),
    "map": (_map,),
}


@dataclass
class Taken:
    """Seconds by page, and the statuses that were no 200."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)


@contextmanager
def serving(catalog: Path) -> Iterator[tuple[int, int]]:
    """The port and the process id of a server of the catalog."""
    command = [sys.executable, "-m", "catalog", "serve", "--port", "0", "--db", str(catalog)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip().rstrip("/").rpartition(":")[2]
        yield int(port), process.pid
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def ingesting(catalog: Path) -> Iterator[list[float]]:
    """An ingest of the demo's weights into the catalog, again and again; seconds of each."""
    stop, taken = threading.Event(), list[float]()
    command = [sys.executable, "-m", "catalog", "ingest", "demo", "--force", "--yes"]
    command += ["--stages", "weights,vocab,roles", "--db", str(catalog)]

    def again() -> None:
        while not stop.is_set():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            taken.append(time.perf_counter() - started)

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()


def ask(port: int, makers: list[Maker], n_clients: int, seed: int) -> Taken:
    """Pages asked for by clients at once, each with a connection that it keeps."""
    taken, lock = Taken(), threading.Lock()

    def client(which: int) -> None:
        rng = random.Random(f"{seed} {which}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for maker in rng.sample(makers, len(makers)):
            started = time.perf_counter()
            connection.request("GET", maker(rng))
            answer = connection.getresponse()
            answer.read()
            passed = time.perf_counter() - started
            with lock:
                if answer.status == 200:
                    taken.seconds.setdefault(maker.__name__, []).append(passed)
                else:
                    taken.refused.append(answer.status)

    with ThreadPoolExecutor(n_clients) as clients:
        list(clients.map(client, range(n_clients)))
    return taken


def cpu_seconds_of(pid: int) -> float:
    """CPU time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(taken: Taken, kind: str, n_clients: int, cpu_s: float) -> None:
    """Median, 95th percentile and the slowest beside the target, and the server's CPU time.

    On a busy machine CPU time is the number to trust.
    """
    target = TARGETS_S.get(n_clients, {}).get(kind)
    seconds = sorted(value for values in taken.seconds.values() for value in values)
    n = len(seconds)
    what = f"{n_clients} clients, {kind}"
    if seconds:
        p95, slowest = seconds[min(n - 1, int(0.95 * n))], seconds[-1]
        show(f"{what}: median of {n}", seconds[n // 2], None, " s")
        show(f"{what}: p95", p95, target if kind == "neuron" else None, " s")
        show(f"{what}: slowest", slowest, None if kind == "neuron" else target, " s")
        show(f"{what}: CPU time of the server, a page", cpu_s / n, None, " s")
        for name, each in sorted(taken.seconds.items()):
            click.echo(f"    {name.strip('_'):<12} slowest {max(each):.3f} s")
    show(f"{what}: refused", len(taken.refused), 0)
    for status, times in sorted(Counter(taken.refused).items()):
        click.echo(f"    status {status}: {times}")


def measure(port: int, pid: int, n_clients: int, pages: int) -> None:
    """Each kind of page by itself; the map is for one client."""
    for kind, makers in KINDS.items():
        if kind == "map" and n_clients > 1:
            continue
        before = cpu_seconds_of(pid)
        taken = ask(port, [maker for maker in makers for _ in range(pages)], n_clients, n_clients)
        report(taken, kind, n_clients, cpu_seconds_of(pid) - before)


@click.command()
@click.argument("catalog", type=click.Path(path_type=Path, exists=True))
@click.option("--pages", default=10, show_default=True, help="Of each sort, by every client.")
@click.option("--clients", "numbers", multiple=True, type=int, default=(1, 20), show_default=True)
@click.option("--ingest", is_flag=True, help="Ingest the demo into CATALOG meanwhile.")
def main(catalog: Path, pages: int, numbers: tuple[int, ...], *, ingest: bool) -> None:
    """Measure the pages of CATALOG."""
    show_machine()
    with serving(catalog) as (port, pid):
        ask(port, [maker for makers in KINDS.values() for maker in makers], 1, seed=0)
        for n_clients in numbers:
            if ingest:
                with ingesting(catalog) as ingests:
                    measure(port, pid, n_clients, pages)
                click.echo(
                    f"ingests meanwhile: {len(ingests)}, slowest {max(ingests, default=0):.1f} s"
                )
            else:
                measure(port, pid, n_clients, pages)
    show_machine()


if __name__ == "__main__":
    main()
