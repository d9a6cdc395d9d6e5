"""Serving the pages on a port, until Ctrl-C or SIGTERM."""

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

import uvicorn

from catalog.api import Catalog
from catalog.errors import EnvironmentFault, Option
from catalog.pages.application import Pages
from catalog.pages.settings import Settings

_BACKLOG: Final = 512
_PATIENCE_S: Final = 0.3
"""How long requests may go on once the server was told to stop, and then threads."""
_AGAIN_S: Final = 0.05


class _Server(uvicorn.Server):
    """A server that stops queries when it is told to stop."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        stopping = asyncio.create_task(self._stop_again_and_again())
        await super().shutdown(sockets)
        stopping.cancel()

    async def _stop_again_and_again(self) -> None:
        # A query that is about to begin does not hear it.
        while True:
            self._stop()
            await asyncio.sleep(_AGAIN_S)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens where the pages are to be served; port 0 takes a free one.

    Raises:
        EnvironmentFault: the port is in use, or may not be used, or there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        other = ("Choose another one with ", Option("port"), ", or 0 for any that is free.")
        if error.errno == errno.EADDRINUSE:
            said = f"Port {port} of {host} is in use, perhaps by another catalog serve."
            raise EnvironmentFault(said, *other) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise EnvironmentFault(f"Port {port} may not be used.", *other) from error
        raise EnvironmentFault(
            f"{host} is no name of this machine ({error.strerror or error}).",
            "Choose another ",
            Option("host"),
            ".",
        ) from error
    return listener


def serve(catalog: Catalog, listener: socket.socket, settings: Settings) -> bool:
    """Answer until told to stop; returns whether nothing is left running.

    Raises:
        KeyboardInterrupt: that is how it was told.
    """
    pages = Pages(catalog, settings)
    config = uvicorn.Config(
        pages.application(),
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_PATIENCE_S,  # type: ignore[arg-type]  # it waits so long
        timeout_keep_alive=15,
        h11_max_incomplete_event_size=65_536,
        ws="none",
    )
    server = _Server(config, pages.stop)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
    end = time.monotonic() + _PATIENCE_S
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            while thread.is_alive() and time.monotonic() < end:
                pages.stop()
                thread.join(_AGAIN_S)
    return threading.active_count() == 1
