"""Addresses of pages: aliases and tokens may hold any character, `/` and `..` among them.

A text is one segment of a path. Browsers take `.` and `..` away however they are written, and an
empty segment is easily lost, so such texts, and those that begin so, get a `~` in front. A text
that ends like a format (`x.json`) has its last dot escaped: formats are seen before unquoting.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote, urlencode

FORMATS: Final = ("json", "csv", "parquet", "ids", "f32")
"""What a page's address may end with, besides nothing for HTML."""

_ODD: Final = ("", ".", "..")


def segment(text: str) -> str:
    """A text as one segment of a path."""
    quoted = quote(text, safe="@:!$,=+", errors="replace")
    if text in _ODD or text.startswith("~"):
        return f"~{quoted}"
    stem, dot, ending = quoted.rpartition(".")
    return f"{stem}%2E{ending}" if dot and ending in FORMATS else quoted


def text_of(raw: str) -> str:
    """The text of a segment as it came, still quoted."""
    return unquote(raw.removeprefix("~"))


def split_path(raw_path: str) -> tuple[list[str], str | None]:
    """The segments of a path, unquoted, and the format that it ends with."""
    raw = raw_path.removeprefix("/")
    ending = next((name for name in FORMATS if raw.endswith(f".{name}")), None)
    if ending:
        raw = raw.removesuffix(f".{ending}")
    return [text_of(part) for part in raw.split("/")] if raw else [], ending


def address(
    *segments: str | int,
    ending: str | None = None,
    parameters: Mapping[str, object] | Sequence[tuple[str, object]] = (),
) -> str:
    """The address of a page; parameters that are None, False or empty are left out."""
    path = "/" + "/".join(segment(str(each)) for each in segments)
    if ending:
        path = f"{path if segments else '/index'}.{ending}"
    pairs = parameters.items() if isinstance(parameters, Mapping) else parameters
    written = [(name, _written(value)) for name, value in pairs]
    given = [(name, text) for name, text in written if text]
    return f"{path}?{urlencode(given, errors='replace')}" if given else path


def neuron_address(model: str, neuron_id: str) -> str:
    """The page of a neuron given as `layer.neuron`."""
    layer, _, neuron = neuron_id.partition(".")
    return address("m", model, layer, neuron)


def _written(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "1" if value else ""
    return str(value)
