"""Neurons by class, role, layer and token, with counts beside every choice."""

from collections.abc import Sequence
from typing import Any, Final

from catalog.neuron_id import parsed_layers, spelled_layers
from catalog.pages.addresses import address
from catalog.pages.asking import Asked
from catalog.pages.listing import Column, Listing, cells, is_number
from catalog.pages.shown import Shown
from catalog.rows import Rows
from catalog.taxonomy import CORPUS_ORDERS

PATH: Final = "/find"

_ORDER_OF: Final = {
    "neuron_id": "layer",
    "io_class": "class",
    "vocab_kurtosis": "kurtosis",
    "n_tokens": "tokens",
    **{
        name: name
        for name in (
            *("model", "atypical", "role", "cos_gate_in", "cos_gate_out", "cos_in_out"),
            *("rank", "score", "vector", "basis", "sign", *CORPUS_ORDERS),
        )
    },
}
"""Orders of `find` by the column that shows them: all but lists of tokens and descriptions."""

_SMALLEST_FIRST: Final = ("model", "io_class", "role", "rank", "vector", "basis", "sign")
"""Columns that are sorted from their beginning first."""


def show(asked: Asked) -> Shown:
    """The neurons, a page at a time, and how many there are of each class, role and layer."""
    models = asked.models()
    sought = _sought(asked, models)
    choices = asked.catalog.choices()
    is_file = asked.ending is not None and asked.text("page") is None
    size = asked.settings.max_rows if is_file else asked.settings.per_page
    number = asked.integer("page", 1) or 1
    k = min(asked.integer("k", size) or size, asked.settings.max_rows)
    rows = asked.catalog.find(**sought, k=k, skip=(number - 1) * k)
    by_token = any(sought[name] for name in ("token", "regex", "token_set"))
    counted = None
    if sought["model"] is not None and not any(sought[name] for name in _NOT_COUNTED):
        choices_made = {n: v for n, v in sought.items() if n not in _NOT_CHOICES}
        counted = asked.once(asked.catalog.facets, **choices_made)
    return Shown(
        "Find neurons",
        {"neurons": rows} | ({"facets": counted} if counted else {}),
        said={
            "sought": sought,
            "by_token": by_token,
            "choices": choices,
            "models": models,
            "corpora": asked.once(asked.catalog.corpora, sought["model"])
            if sought["model"]
            else [],
            "layers": spelled_layers(sought["layers"]),
            "notes": rows.notes,
            "without_list": address("find", parameters=asked.changed(**{"in": None, "page": None})),
            "order": sought["order"],
            "facets": _facets(asked, sought, counted) if counted else {},
            "listing": _listing(asked, rows, number, k, usual="tokens" if by_token else "kurtosis"),
            "model": sought["model"],
        },
    )


_NOT_COUNTED: Final = ("token", "regex", "token_set", "describes")
"""What counts know nothing of: none stand beside the choices where one of these is asked."""

_NOT_CHOICES: Final = (
    *_NOT_COUNTED,
    *("ignore_case", "vector", "sign", "basis", "order", "corpus", "smallest"),
)


def _sought(asked: Asked, models: Sequence[str]) -> dict[str, Any]:
    typical = asked.text("typicality")
    layers = ",".join(asked.texts("layer"))
    tokens = {
        "token": asked.texts("token"),
        "regex": asked.text("regex"),
        "token_set": asked.texts("set"),
    }
    model = asked.text("model")
    if model is None and len(models) == 1:
        model = models[0]
    return {
        "model": model,
        "io_class": asked.texts("class"),
        "atypical": {"atypical": True, "typical": False}.get(typical or ""),
        "role": asked.texts("role"),
        "layers": parsed_layers(layers) if layers else (),
        "neurons": asked.texts("in") or None,
        "describes": asked.text("describes"),
        **tokens,
        "ignore_case": asked.flag("ignore_case") and any(tokens.values()),
        "vector": asked.text("vector"),
        "sign": asked.text("sign"),
        "basis": asked.text("basis") or "unembed",
        "order": asked.text("order"),
        "corpus": asked.text("corpus") if asked.text("order") in CORPUS_ORDERS else None,
        "smallest": asked.flag("smallest"),
    }


def _listing(asked: Asked, rows: Rows, number: int, k: int, usual: str) -> Listing:
    now, smallest = asked.text("order") or usual, asked.flag("smallest")
    columns = []
    for field in rows.arrow().schema:
        order = _ORDER_OF.get(field.name)
        is_now = order is not None and order == now
        way = ("ascending" if smallest else "descending") if is_now else ""
        leads = None
        if order is not None:
            is_smallest = not smallest if is_now else field.name in _SMALLEST_FIRST
            changed = asked.changed(order=order, smallest=is_smallest, page=None)
            leads = address("find", parameters=changed)
        columns.append(Column(field.name, leads, way, is_number(field)))

    def numbered(page: int) -> str:
        return address("find", parameters=asked.changed(page=page))

    return Listing(
        columns,
        cells(rows.arrow()),
        (number - 1) * k + 1,
        rows.total,
        numbered(number - 1) if number > 1 else None,
        numbered(number + 1) if rows.total is not None and number * k < rows.total else None,
    )


def _facets(asked: Asked, sought: dict[str, Any], counted: Rows) -> dict[str, list[dict[str, Any]]]:
    """Values of each facet with their counts, and the address that chooses or frees each."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in counted.arrow().to_pylist():
        facet, value = row["facet"], row["value"]
        if facet == "layer":
            chosen = {str(each) for each in sought["layers"]}
            changed = asked.changed(layer=spelled_layers(map(int, chosen ^ {value})), page=None)
        else:
            chosen = set(sought[facet])
            name = "class" if facet == "io_class" else facet
            changed = asked.changed(**{name: sorted(chosen ^ {value}), "page": None})
        leads = address("find", parameters=changed)
        found.setdefault(facet, []).append(row | {"chosen": value in chosen, "address": leads})
    for name in ("io_class", "role"):
        found.get(name, []).sort(key=lambda row: -row["neurons"])
    return found
