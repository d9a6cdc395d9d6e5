"""Bad days of a server: what happens to the catalog, the port and the process while it serves."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

import catalog
from catalog.api import Limits
from catalog.errors import EnvironmentFault, command_line
from catalog.pages.serving import bound
from tests.pages.conftest import Served
from tests.pages.test_walls import ENDLESS
from tests.support import environment, execute, wait_until


@contextmanager
def process(db: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A `catalog serve` of its own, and its address."""
    started = subprocess.Popen(
        [sys.executable, "-m", "catalog", "serve", "--port", "0", "--db", str(db), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert started.stdout is not None
    try:
        yield started, started.stdout.readline().strip().rstrip("/")
    finally:
        started.kill()
        started.communicate()


def asked(address: str) -> int:
    with urllib.request.urlopen(address, timeout=60) as answer:
        answer.read()
        return int(answer.status)


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=f"Port {port} .* is in use") as refused:
            bound("127.0.0.1", port)
    assert "--port" in refused.value.message(command_line)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every port")
def test_a_port_that_may_not_be_used_is_named() -> None:
    with pytest.raises(EnvironmentFault, match="Port 1 may not be used"):
        bound("127.0.0.1", 1)


def test_a_host_that_is_not_of_this_machine_is_named() -> None:
    with pytest.raises(EnvironmentFault, match=r"192\.0\.2\.1 is no name of this machine") as error:
        bound("192.0.2.1", 0)
    assert isinstance(error.value.__cause__, OSError)
    assert error.value.__cause__.errno == errno.EADDRNOTAVAIL


def test_a_catalog_that_is_replaced_is_read_anew(db: Path, served: Served, tmp_path: Path) -> None:
    client = served(db)
    assert client.get("/m/alpha").status_code == 200
    other = tmp_path / "other.duckdb"
    shutil.copy(db, other)
    execute(other, "update model set alias = 'gamma' where alias = 'alpha'")
    other.replace(db)
    assert client.get("/m/alpha").status_code == 404
    assert client.get("/m/gamma").status_code == 200


def test_something_else_in_the_place_of_the_catalog_is_refused(db: Path, served: Served) -> None:
    client = served(db)
    assert client.get("/").status_code == 200
    db.write_bytes(b"no catalog at all" * 1000)
    answer = client.get("/m/alpha")
    assert answer.status_code == 503 and db.name in answer.text
    assert str(db.parent) not in answer.text


@pytest.mark.slow
def test_a_writer_is_not_kept_out_by_readers(db: Path, served: Served) -> None:
    client = served(db, idle_s=5.0)
    stop = threading.Event()
    statuses: set[int] = set()

    def read(which: int) -> None:
        at = 0
        while not stop.is_set():
            at += 1
            statuses.add(client.get(f"/m/alpha?threshold=0.{which}{at:06}").status_code)

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, which) for which in range(1, 5)]
        wait_until(lambda: 200 in statuses)
        try:
            words = [sys.executable, "-m", "catalog", "drop", "beta", "--yes", "--db", str(db)]
            dropped = subprocess.run(
                words, env=environment(), capture_output=True, text=True, timeout=120, check=False
            )
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert dropped.returncode == 0, dropped.stderr
    assert statuses <= {200, 503}
    assert client.get("/m/beta").status_code == 404


class _Slow(LocalFileSystem):  # type: ignore[misc]
    """A bucket whose files come a while after they are asked for."""

    protocol = "slow"
    delay_s = 0.0

    def open(self, path: str, *given: object, **named: object) -> object:
        time.sleep(self.delay_s)
        return super().open(path, *given, **named)


@pytest.mark.slow
@pytest.mark.parametrize(("delay_s", "limit_s", "status"), [(0.02, 60.0, 200), (0.3, 0.2, 422)])
def test_a_lake_whose_bucket_is_slow_is_read_or_its_limit_is_named(
    *,
    known: Path,
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    delay_s: float,
    limit_s: float,
    status: int,
) -> None:
    catalog.open(known).export(tmp_path / "lake")
    fsspec.register_implementation("slow", _Slow, clobber=True)
    monkeypatch.setattr(_Slow, "delay_s", delay_s)
    limits = Limits(seconds=limit_s, memory_mb=500, threads=1)
    answer = served(f"slow://{tmp_path}/lake", limits=limits).get("/m/alpha/28/4737")
    assert answer.status_code == status
    if status == 422:
        assert f"{limit_s} seconds, the limit" in answer.text


class _Gone(LocalFileSystem):  # type: ignore[misc]
    """A bucket that answers no more once it is `down`."""

    protocol = "gone"
    is_down = False

    def open(self, path: str, *given: object, **named: object) -> object:
        if self.is_down and path.endswith(".parquet"):
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        return super().open(path, *given, **named)


@pytest.mark.slow
def test_a_lake_whose_bucket_is_down_is_not_called_damaged(
    known: Path, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.open(known).export(tmp_path / "lake")
    fsspec.register_implementation("gone", _Gone, clobber=True)
    client = served(f"gone://{tmp_path}/lake")
    assert client.get("/m/alpha.json").status_code == 200
    monkeypatch.setattr(_Gone, "is_down", True)
    answer = client.get("/m/alpha.json?threshold=0.4")
    assert answer.status_code == 503
    assert "lake cannot be reached just now" in answer.json()["error"]
    assert str(tmp_path) not in answer.text
    monkeypatch.setattr(_Gone, "is_down", False)
    assert client.get("/m/alpha.json?threshold=0.4").status_code == 200


def test_a_lake_whose_package_is_not_installed_is_a_fault_of_the_machine(served: Served) -> None:
    answer = served("dropbox://lake").get("/")
    assert answer.status_code == 503 and "dropbox" in answer.text


@pytest.mark.slow
def test_fifty_clients_at_once_are_all_answered(known: Path) -> None:
    with process(known) as (_, address), ThreadPoolExecutor(50) as clients:
        wanted = [f"{address}/m/alpha?threshold=0.{n:03}" for n in range(1, 151)]
        assert set(clients.map(asked, wanted)) == {200}


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_also_during_a_query(known: Path, sign: signal.Signals) -> None:
    with process(known, "--sql-seconds", "3000") as (server, address):
        question = f"{address}/sql.json?q={quote(ENDLESS)}"
        waiting = threading.Thread(target=_asked_in_vain, args=(question,), daemon=True)
        waiting.start()
        before = _cpu_ticks(server.pid)
        wait_until(lambda: _cpu_ticks(server.pid) > before + 30)
        server.send_signal(sign)
        # Without it the query would run for hours; a busy machine may take its time to end.
        assert server.wait(10) in (0, 130)
        waiting.join(10)
        assert not waiting.is_alive()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_whose_clients_stay_and_wait(
    known: Path, sign: signal.Signals
) -> None:
    """Idle ones, one in the middle of its request, and more queries than are run at once."""
    with process(known, "--sql-seconds", "3000") as (server, address):
        host, _, port = urlsplit(address).netloc.partition(":")
        idle = [HTTPConnection(host, int(port)) for _ in range(5)]
        for each in idle:
            each.request("GET", "/queries")
            each.getresponse().read()
        half = socket.create_connection((host, int(port)))
        half.send(b"GET / HTTP/1.1\r\nHost: loc")
        questions = [f"{address}/sql.json?q={quote(ENDLESS)}&n={n}" for n in range(12)]
        waiting = [
            threading.Thread(target=_asked_in_vain, args=(each,), daemon=True) for each in questions
        ]
        for thread in waiting:
            thread.start()
        before = _cpu_ticks(server.pid)
        wait_until(lambda: _cpu_ticks(server.pid) > before + 30)
        server.send_signal(sign)
        # A second where the machine is idle; it would be hours if one query began after the signal.
        assert server.wait(10) in (0, 130)
        half.close()
        for thread in waiting:
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_that_has_nothing_to_do(known: Path, sign: signal.Signals) -> None:
    with process(known) as (server, address):
        assert asked(address) == 200
        server.send_signal(sign)
        assert server.wait(10) in (0, 130)


def _asked_in_vain(address: str) -> None:
    with pytest.raises(OSError):
        asked(address)


def _cpu_ticks(pid: int) -> int:
    """Hundredths of a second that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
