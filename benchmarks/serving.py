"""Pages of a catalog made by `catalog_4m.py`, asked by one client and by many, with their targets.

Every page is asked for once, so that none comes from memory; an ingest of the demo may run
meanwhile, again and again.
"""

import http.client
import random
import subprocess
import sys
import threading
import time
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

    def by_kind(self, kind: str) -> list[float]:
        """Of all pages of a kind, sorted."""
        names = [maker.__name__ for maker in KINDS[kind]]
        return sorted(value for name in names for value in self.seconds.get(name, []))


@contextmanager
def serving(catalog: Path) -> Iterator[int]:
    """The port of a server of the catalog."""
    command = [sys.executable, "-m", "catalog", "serve", "--port", "0", "--db", str(catalog)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline().strip().rstrip("/").rpartition(":")[2])
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


def report(taken: Taken, n_clients: int) -> None:
    """Medians, 95th percentiles and the slowest, beside the targets."""
    targets = TARGETS_S.get(n_clients, {})
    for kind in KINDS:
        seconds = taken.by_kind(kind)
        if not seconds:
            continue
        p95 = seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
        middle = seconds[len(seconds) // 2]
        click.echo(f"{n_clients} clients, {kind}: {len(seconds)} asked, median {middle:.3f} s")
        show(f"{n_clients} clients, {kind}, p95", p95, targets.get(kind), " s")
        show(f"{n_clients} clients, {kind}, slowest", seconds[-1], None, " s")
    for name, each in sorted(taken.seconds.items()):
        click.echo(f"    {name.strip('_'):<12} slowest {max(each):.3f} s")
    show(f"{n_clients} clients, refused", len(taken.refused), 0)


@click.command()
@click.argument("catalog", type=click.Path(path_type=Path, exists=True))
@click.option("--pages", default=10, show_default=True, help="Of each sort, by every client.")
@click.option("--clients", "numbers", multiple=True, type=int, default=(1, 20), show_default=True)
@click.option("--ingest", is_flag=True, help="Ingest the demo into CATALOG meanwhile.")
def main(catalog: Path, pages: int, numbers: tuple[int, ...], *, ingest: bool) -> None:
    """Measure the pages of CATALOG."""
    show_machine()
    with serving(catalog) as port:
        ask(port, [maker for makers in KINDS.values() for maker in makers], 1, seed=0)
        for n_clients in numbers:
            kinds = KINDS if n_clients == 1 else {k: m for k, m in KINDS.items() if k != "map"}
            asked = [maker for makers in kinds.values() for maker in makers for _ in range(pages)]
            if ingest:
                with ingesting(catalog) as ingests:
                    taken = ask(port, asked, n_clients, seed=n_clients)
                click.echo(f"ingests meanwhile: {len(ingests)}, slowest {max(ingests):.1f} s")
            else:
                taken = ask(port, asked, n_clients, seed=n_clients)
            report(taken, n_clients)
    show_machine()


if __name__ == "__main__":
    main()
