"""A Ray cluster of two nodes that share nothing but a cable: each in a network namespace.

The head's is where whoever uses the cluster must be too (`in_head`).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

REPOSITORY: Final = Path(__file__).parents[3]
_HEAD, _OTHER = "10.231.7.1", "10.231.7.2"
_PORT: Final = 6390


class NoNamespaces(Exception):
    """Network namespaces cannot be made here; the message says why."""


class TwoNetworks:
    """Two nodes with one CPU each, named after this process."""

    def __init__(self, folder: Path) -> None:
        self.head, self.other = (f"catalog-{os.getpid()}-{each}" for each in ("head", "other"))
        self.address = f"{_HEAD}:{_PORT}"
        self._folder = folder
        self._environment = os.environ | {
            "PYTHONPATH": str(REPOSITORY),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Else a token that another cluster of this user leaves meanwhile parts the two nodes.
            "RAY_AUTH_MODE": "disabled",
        }

    def in_head(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespace of the head."""
        return self._inside(self.head, *words)

    def make(self) -> None:
        """Make both namespaces and the cable between them; raises NoNamespaces."""
        try:
            for name in (self.head, self.other):
                _ip("netns", "add", name)
            ends = [f"c{os.getpid()}{each}" for each in "ab"]
            _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            for name, end, own in zip((self.head, self.other), ends, (_HEAD, _OTHER), strict=True):
                _ip("link", "set", end, "netns", name)
                _ip("-n", name, "addr", "add", f"{own}/30", "dev", end)
                for link in ("lo", end):
                    _ip("-n", name, "link", "set", link, "up")
        except subprocess.CalledProcessError as error:
            raise NoNamespaces(str(error.stderr).strip()) from error

    def start(self) -> None:
        """Start a node of Ray in each."""
        self._start(self.head, _HEAD, "--head", f"--port={_PORT}", "--include-dashboard=false")
        self._start(self.other, _OTHER, f"--address={self.address}")

    def remove(self) -> None:
        """End what runs in both, and take them away."""
        for name in (self.other, self.head):
            kill_all(name)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def _start(self, name: str, own: str, *options: str) -> None:
        common = ("--num-cpus=1", f"--node-ip-address={own}", "--object-store-memory=80000000")
        started = self._inside(
            name,
            Path(sys.executable).with_name("ray"),
            "start",
            *options,
            *common,
            f"--temp-dir={self._folder}",
        )
        assert started.returncode == 0, started.stdout + started.stderr

    def _inside(self, name: str, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ip", "netns", "exec", name, *map(str, words)],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def two_networks(folder: Path) -> Iterator[TwoNetworks]:
    """The cluster, for a block; raises NoNamespaces where it cannot be made.

    `folder` must have a short name: Ray's sockets are in it.
    """
    if shutil.which("ip") is None:
        raise NoNamespaces("there is no `ip` (Debian's iproute2)")
    if os.geteuid() != 0:
        raise NoNamespaces("only root can make them")
    networks = TwoNetworks(folder)
    try:
        networks.make()
        networks.start()
        yield networks
    finally:
        networks.remove()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


def kill_all(name: str) -> None:
    """Kill what runs in a namespace, and wait until it is gone."""
    found = subprocess.run(
        ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
    )
    killed: list[psutil.Process] = []
    for pid in found.stdout.split():
        with suppress(psutil.NoSuchProcess):
            killed.append(psutil.Process(int(pid)))
            killed[-1].kill()
    psutil.wait_procs(killed, timeout=20)
