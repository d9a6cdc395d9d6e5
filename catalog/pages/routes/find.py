"""Neurons by class, role, layer and token, with counts beside every choice."""

import re
from typing import Any, Final

from catalog.errors import UsageError
from catalog.pages.addresses import address
from catalog.pages.asking import Asked, whole_number
from catalog.pages.listing import Column, Listing, cells, is_number
from catalog.pages.shown import Shown
from catalog.rows import Rows

PATH: Final = "/find"

_LAYERS: Final = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
_ORDER_OF: Final = {
    "neuron_id": "layer",
    "vocab_kurtosis": "kurtosis",
    "cos_gate_in": "cos_gate_in",
    "cos_gate_out": "cos_gate_out",
    "cos_in_out": "cos_in_out",
}
"""Orders of `find` by the column that shows them."""


def show(asked: Asked) -> Shown:
    """The neurons, a page at a time, and how many there are of each class, role and layer."""
    sought = _sought(asked)
    choices = asked.catalog.choices()
    size, number = asked.settings.per_page, asked.integer("page", 1) or 1
    k = min(asked.integer("k", size) or size, asked.settings.max_rows)
    found = asked.catalog.find(**sought, k=k + 1, skip=(number - 1) * k)
    rows = Rows(found.arrow().slice(0, k), found.notes)
    counted = None
    if sought["model"] is not None:
        counted = asked.catalog.facets(**{n: v for n, v in sought.items() if n not in _OF_TOKEN})
    return Shown(
        "Find neurons",
        {"neurons": rows} | ({"facets": counted} if counted else {}),
        said={
            "sought": sought,
            "choices": choices,
            "models": [row["model"] for row in asked.catalog.models().arrow().to_pylist()],
            "layers": asked.text("layer"),
            "order": sought["order"],
            "facets": _facets(asked, counted) if counted else {},
            "listing": _listing(asked, rows, number, k, has_more=len(found) > k),
            "model": sought["model"],
        },
    )


_OF_TOKEN: Final = ("token", "vector", "sign", "basis", "order", "smallest")


def _sought(asked: Asked) -> dict[str, Any]:
    typical = asked.text("typicality")
    first, last = _layers(asked.text("layer"))
    model = asked.text("model")
    if model is None:
        names = [row["model"] for row in asked.catalog.models().arrow().to_pylist()]
        model = names[0] if len(names) == 1 else None
    return {
        "model": model,
        "io_class": asked.text("class"),
        "atypical": {"atypical": True, "typical": False}.get(typical or ""),
        "role": asked.text("role"),
        "first_layer": first,
        "last_layer": last,
        "token": asked.text("token"),
        "vector": asked.text("vector"),
        "sign": asked.text("sign"),
        "basis": asked.text("basis") or "unembed",
        "order": asked.text("order"),
        "smallest": asked.flag("smallest"),
    }


def _layers(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    match = _LAYERS.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"layer is {text!r}; it must be a layer, or a range such as 28-31.")
    first = whole_number("layer", match[1])
    last = whole_number("layer", match[2] or match[1])
    if first > last:
        raise UsageError(f"layer is {text!r}, which begins after its end.")
    return first, last


def _listing(asked: Asked, rows: Rows, number: int, k: int, *, has_more: bool) -> Listing:
    now, smallest = asked.text("order") or "kurtosis", asked.flag("smallest")
    columns = []
    for field in rows.arrow().schema:
        order = _ORDER_OF.get(field.name)
        is_now = order is not None and order == now
        way = ("ascending" if smallest else "descending") if is_now else ""
        leads = None
        if order is not None:
            changed = asked.changed(order=order, smallest=is_now and not smallest, page=None)
            leads = address("find", parameters=changed)
        columns.append(Column(field.name, leads, way, is_number(field)))

    def numbered(page: int) -> str:
        return address("find", parameters=asked.changed(page=page))

    return Listing(
        columns,
        cells(rows.arrow()),
        (number - 1) * k + 1,
        None,
        numbered(number - 1) if number > 1 else None,
        numbered(number + 1) if has_more else None,
    )


def _facets(asked: Asked, counted: Rows) -> dict[str, list[dict[str, Any]]]:
    """Values of each facet with their counts, and the address that chooses or frees each."""
    parameter = {"io_class": "class", "role": "role", "layer": "layer"}
    found: dict[str, list[dict[str, Any]]] = {}
    for row in counted.arrow().to_pylist():
        name = parameter[row["facet"]]
        is_chosen = asked.text(name) == row["value"]
        changed = asked.changed(**{name: None if is_chosen else row["value"], "page": None})
        leads = address("find", parameters=changed)
        found.setdefault(row["facet"], []).append(row | {"chosen": is_chosen, "address": leads})
    for name in ("io_class", "role"):
        found.get(name, []).sort(key=lambda row: -row["neurons"])
    return found
