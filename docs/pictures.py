"""Takes pictures of every page of a catalog with Chromium, as docs/pages.md shows them.

Needs what `pip install 'neuron-catalog[dev]'` brings, and a Chromium of this machine.
"""

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from PIL import Image

import catalog
from catalog.api import Catalog
from catalog.neuron_id import NeuronId
from catalog.pages.addresses import address, neuron_address


@dataclass(frozen=True)
class Look:
    """How a page is looked at: CSS pixels across, dark or light, on a screen or on paper."""

    width: int
    is_dark: bool = False
    is_printed: bool = False

    @property
    def name(self) -> str:
        """What is added to the names of its pictures."""
        return f"{self.width}{'-dark' if self.is_dark else ''}{'-print' if self.is_printed else ''}"


LOOKS = (
    *(Look(width, is_dark) for width in (1440, 768, 320) for is_dark in (False, True)),
    Look(794, is_printed=True),
)
"""794 pixels is the width of A4."""


def addresses(of: Catalog, model: str, neuron: str, other: str) -> dict[str, str]:
    """A page of every kind, by its name: with rows, empty and refused."""
    token = " the"
    found = {
        "home": address(),
        "model": address("m", model),
        "map": address("m", model, "map", parameters={"x": "cos_gate_out", "y": "cos_in_out"}),
        "map-lasso": address(
            "m", model, "map", parameters={"lasso": "-0.2,-0.9;0.2,-0.9;0.2,-0.4;-0.2,-0.4"}
        ),
        "neuron": neuron_address(model, neuron),
        "compare": address(
            "compare", parameters={"a": f"{model}:{neuron}", "b": f"{model}:{other}"}
        ),
        "compare-empty": address("compare"),
        "find": address("find", parameters={"model": model}),
        "find-token": address("find", parameters={"model": model, "token": token}),
        "find-nothing": address(
            "find", parameters={"model": model, "class": "enrichment", "role": "entropy"}
        ),
        "token": address("tokens", token, parameters={"model": model}),
        "tokens": address("tokens", parameters={"contains": "the"}),
        "tokens-empty": address("tokens"),
        "text": address("text", parameters={"q": "the first"}),
        "text-empty": address("text"),
        "queries": address("queries"),
        "query": address("queries", "extremes"),
        "query-form": address("queries", "neurons_for_token"),
        "sql": address("sql"),
        "sql-rows": address("sql", parameters={"q": "from neurons order by layer, neuron"}),
        "sql-refused": address("sql", parameters={"q": "select nothing from neurons"}),
        "run": address("run", parameters={"q": "The cat sat on the", "model": model}),
        "run-neuron": address(
            "run", parameters={"q": '“Yes,” she said, "no".', "model": model, "neuron": neuron}
        ),
        "classes": address("classes"),
        "refusal": address("m", "nosuch"),
    }
    if not of.sql("from corpora limit 1"):
        found.pop("text")
    return found


@contextmanager
def serving(db: Path) -> Iterator[str]:
    """The address of a server of the catalog."""
    command = [sys.executable, "-m", "catalog", "serve", "--port", "0", "--run", "--db", str(db)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip().rstrip("/")
    finally:
        process.terminate()
        process.wait(10)


def taken(page: Any, where: str, look: Look, tallest: int) -> bytes:
    """A picture of a page as a PNG, at most `tallest` pixels high."""
    page.set_viewport_size({"width": look.width, "height": 900})
    page.emulate_media(
        media="print" if look.is_printed else "screen",
        color_scheme="dark" if look.is_dark else "light",
    )
    page.goto(where)
    if page.query_selector("#plot"):
        page.wait_for_selector("#plot[data-drawn]", timeout=60_000)
        page.wait_for_timeout(500)
    high = min(tallest, page.evaluate("document.documentElement.scrollHeight"))
    area = {"x": 0, "y": 0, "width": look.width, "height": max(high, 300)}
    return bytes(page.screenshot(full_page=True, clip=area))


def too_wide(page: Any) -> int:
    """CSS pixels by which a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def packed(png: bytes) -> bytes:
    """A picture as a small WebP file, without loss: colours of classes stay what they are."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(stream, "WEBP", lossless=True, method=4)
    return stream.getvalue()


@click.command()
@click.argument("db", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--model", help="Alias; without it, the first.")
@click.option("--neuron", default=None, help="Its page is taken; without it, the first of a list.")
@click.option("--look", "looks", multiple=True, help="E.g. 1440, 320-dark, 794-print; else all.")
@click.option("--page", "names", multiple=True, help="Only these, e.g. neuron; else all.")
@click.option("--tallest", default=2400, show_default=True, help="Pixels, cut off below.")
def pictures(
    db: Path,
    folder: Path,
    model: str | None,
    neuron: str | None,
    looks: tuple[str, ...],
    names: tuple[str, ...],
    tallest: int,
) -> None:
    """Take pictures of the pages of the catalog DB into FOLDER."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise click.UsageError("There is no chromium on this machine.")
    of = catalog.open(db)
    model = model or of.entry(of.models().arrow().column("model")[0].as_py()).model
    listed = of.find(model=model, k=2).arrow().column("neuron_id").to_pylist()
    first = str(NeuronId.parse(neuron)) if neuron else listed[0]
    other = next(each for each in listed if each != first)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [look for look in LOOKS if not looks or look.name in looks]
    with serving(db) as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(900_000)  # the first text waits for a model
        for name, where in addresses(of, model, first, other).items():
            for look in chosen if not names or name in names else ():
                picture = packed(taken(page, base + where, look, tallest))
                (folder / f"{name}-{look.name}.webp").write_bytes(picture)
                if (wide := too_wide(page)) > 0:
                    click.echo(f"{name} at {look.name}: {wide} pixels too wide", err=True)
        browser.close()


if __name__ == "__main__":
    pictures()
