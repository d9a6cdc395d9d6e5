"""Pages over the catalog of `tests.synthetic`, asked as a browser would."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import catalog
from catalog.pages.application import Pages
from catalog.pages.settings import Settings
from catalog.store.location import Location

Served = Callable[..., TestClient]


@pytest.fixture
def served() -> Iterator[Served]:
    """`served(path, wait_s=..., **settings)`: a client of the pages of a catalog."""
    clients: list[TestClient] = []

    def of(path: Location, wait_s: float = 5.0, **settings: object) -> TestClient:
        # Tests write to the catalog between two requests, in this process.
        chosen = replace(Settings(), **{"idle_s": 0.0} | settings)  # type: ignore[arg-type]
        pages = Pages(catalog.at(path, wait_s), chosen)
        client = TestClient(
            pages.application(), base_url="http://localhost", follow_redirects=False
        )
        clients.append(client)
        return client

    yield of
    for client in clients:
        client.close()


@pytest.fixture
def client(known: Path, served: Served) -> TestClient:
    """A client of all pages of `known`."""
    return served(known, allow_run=True)
