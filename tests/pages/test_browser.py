"""The pages in headless Chromium: nothing fails or asks elsewhere, scripts do what they say."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.pages.test_pages import ADDRESSES
from tests.pages.test_walls import HOSTILE
from tests.support import REPOSITORY, execute, query

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    if CHROMIUM is None:
        pytest.skip("no browser: chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


class Watched:
    """A page whose faults and requests are written down."""

    def __init__(self, browser: Any, base: str) -> None:
        self.base = base
        self.page = browser.new_page(viewport={"width": 1200, "height": 900})
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append("a dialog"))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(message.text)

    def go(self, where: str) -> Any:
        self.page.goto(self.base + where)
        return self.page


def serving(path: Path) -> Iterator[str]:
    """The address of a `catalog serve` of its own."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "-m", "catalog", "serve", "--port", "0", "--run", "--db", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip().rstrip("/")
    finally:
        process.terminate()
        # 130: a request that was still running was not waited for.
        assert process.wait(10) in (0, 130)


@pytest.fixture(scope="module")
def address(known: Path) -> Iterator[str]:
    yield from serving(known)


@pytest.fixture
def watched(browser: Any, address: str) -> Iterator[Watched]:
    made = Watched(browser, address)
    yield made
    made.page.close()
    assert made.faults == []
    assert made.hosts == {urlsplit(address).netloc}


def test_every_page_loads_without_a_fault_and_asks_only_its_own_host(watched: Watched) -> None:
    for where in ADDRESSES:
        watched.go(where)
        assert watched.page.title()


def test_pages_work_without_javascript(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for where in ("/", "/m/alpha", "/m/alpha/28/4737", "/find?model=alpha", "/classes?gate=90"):
        page.goto(address + where)
        assert page.locator("h1").inner_text()
    page.goto(f"{address}/m/alpha/map")
    assert page.locator("#plot a").get_attribute("href").startswith("/m/alpha/map.csv")
    page.goto(f"{address}/find?model=alpha")
    page.locator("summary", has_text="any").first.click()
    page.check("input[name=class][value=depletion]")
    page.click("form.filters button")
    shown = page.locator("td span.io-class").all_inner_texts()
    assert shown and set(shown) == {"depletion"}
    context.close()


@pytest.mark.parametrize("width", [320, 768, 1440])
def test_no_page_is_wider_than_its_window(watched: Watched, width: int) -> None:
    watched.page.set_viewport_size({"width": width, "height": 900})
    for where in ADDRESSES:
        page = watched.go(where)
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert over <= 0, where


def test_a_link_to_what_is_shown_is_copied(browser: Any, address: str) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{address}/find?model=alpha&class=depletion")
    page.click("a.copy")
    page.wait_for_function("document.querySelector('a.copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    context.close()


def test_arrow_keys_lead_to_neighbours(watched: Watched) -> None:
    page = watched.go("/m/beta/0/1")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(r"/m/beta/0/2\?seen="))
    page.keyboard.press("ArrowUp")
    page.wait_for_url(re.compile(r"/m/beta/1/2\?seen="))
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile(r"/m/beta/1/1\?seen="))
    page.keyboard.press("ArrowDown")
    page.wait_for_url(re.compile(r"/m/beta/0/1\?seen="))


def test_a_line_on_the_map_lists_the_neurons_within(watched: Watched, known: Path) -> None:
    page = watched.go("/m/alpha/map")
    page.wait_for_selector("#plot[data-drawn]")
    box = page.locator("#over").bounding_box()

    def at(x: float, y: float) -> tuple[float, float]:
        wide, high = box["width"] - 54, box["height"] - 38
        return (
            box["x"] + 46 + (x + 1.05) / 2.1 * wide,
            box["y"] + box["height"] - 30 - (y + 1.05) / 2.1 * high,
        )

    corners = [(0.02, 0.5), (0.98, 0.5), (0.98, 0.98), (0.02, 0.98)]
    page.mouse.move(*at(*corners[0]))
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*at(*corner), steps=8)
    page.mouse.up()
    page.wait_for_selector("#list h2")
    listed = page.locator("#list td a.id").all_inner_texts()
    rows = query(
        known,
        "select neuron_id from neurons where model = 'alpha' and cos_gate_out > 0.02 "
        "and cos_in_out > 0.5 order by layer, neuron",
    )
    assert listed == [name for (name,) in rows] and listed
    assert "lasso=" in page.url


def test_search_leads_to_a_neuron(watched: Watched) -> None:
    page = watched.go("/m/alpha")
    page.fill(".go input[name=q]", "28.4737")
    page.press(".go input[name=q]", "Enter")
    page.wait_for_url("**/m/alpha/28/4737")


@pytest.mark.slow
def test_a_text_is_run_and_leads_to_the_neurons(browser: Any, measured: Path) -> None:
    for base in serving(measured / "c.duckdb"):
        watched = Watched(browser, base)
        page = watched.go("/m/tiny/1/3")
        page.click("text=on a text…")
        page.fill("textarea[name=q]", "a sentence with <i>words</i>")
        page.click("form.editor button")
        page.wait_for_selector(".report mark", timeout=120_000)
        assert page.locator("table.rows tbody tr").count() > 4
        page.fill("input[name=neuron]", "")
        page.click("form.editor button")
        page.wait_for_selector("td a.id", timeout=120_000)
        page.locator("td a.id").first.click()
        page.wait_for_url(re.compile(r"/m/tiny/\d+/\d+$"))
        assert watched.faults == [] and watched.hosts == {urlsplit(base).netloc}


def test_sql_stands_in_the_address(watched: Watched) -> None:
    page = watched.go("/sql")
    page.fill("textarea", "select 6 * 7 as answer")
    page.press("textarea", "Control+Enter")
    page.wait_for_url("**/sql?q=select**")
    assert page.locator("table.rows td").inner_text() == "42"


def test_classes_drawn_are_those_of_the_catalog(watched: Watched) -> None:
    page = watched.go("/classes")
    for angles in ((20, 75, 35), (0, 90, 90), (0, 180, 0), (90, 0, 10), (0, 95, 90), (10, 200, 15)):
        for name, angle in zip(("gate", "in", "out"), angles, strict=True):
            page.locator(f"input[name={name}]").fill(str(angle if angle <= 180 else angle - 360))
        gate, within, out = angles
        there = page.evaluate(
            "async (where) => (await fetch(where)).json()",
            f"/classes.json?gate={gate}&in={within}&out={out}",
        )
        shown = page.locator("#verdict").inner_text()
        assert shown == ("atypical " if there["atypical"] else "") + there["io_class"], json.dumps(
            there
        )


def test_a_hostile_catalog_executes_nothing(browser: Any, db: Path) -> None:
    quoted = HOSTILE.replace("'", "''")
    for statement in (
        f"update model set alias = '{quoted}', source = '{quoted}' where alias = 'alpha'",
        f"update token set token = '{quoted}' || token_id",
        f"update context set source_ref = '{quoted}'",
        f"update model_corpus set name = '{quoted}'",
    ):
        execute(db, statement)
    for base in serving(db):
        watched = Watched(browser, base)
        page = watched.go("/")
        page.click("td a.id")
        model = urlsplit(page.url).path
        for where in (
            f"{model}/28/4737",
            f"{model}/map",
            "/sql?q=from+tokens",
            "/tokens?contains=s",
        ):
            watched.go(where)
            page.wait_for_timeout(200)
        page.close()
        assert watched.faults == [] and watched.hosts == {urlsplit(base).netloc}
