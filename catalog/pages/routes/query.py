"""A named query: its rows, and a form made from its parameters."""

from typing import Final

from catalog.errors import UsageError
from catalog.pages.asking import Asked
from catalog.pages.listing import listed, sorted_rows
from catalog.pages.shown import Shown

PATH: Final = "/queries/{name}"

_OURS: Final = ("sort", "page", "embed", "table", "sql")


def show(asked: Asked) -> Shown:
    """The rows for the parameters in the address; without one that is needed, the form alone."""
    query = asked.catalog.named(asked.path["name"])
    names = {parameter.name for parameter in query.parameters}
    given = {
        name: value
        for name, value in asked.parameters
        if value != "" and (name in names or name not in _OURS)
    }
    lacking = [p.name for p in query.parameters if p.required and p.name not in given]
    said = {
        "query": query,
        "given": given,
        "choices": {p.name: p.choices for p in query.parameters},
        "models": asked.models(),
        "lacking": lacking,
        "listing": None,
        "notes": (),
    }
    if lacking and asked.ending is not None:
        raise UsageError(f"{query.name} needs {' and '.join(lacking)}.")
    if lacking:
        return Shown(query.name, said=said)
    settings = [f"{name}={value}" for name, value in given.items()]
    rows = sorted_rows(asked, asked.catalog.query(query.name, *settings))
    listing = listed(asked, rows, ("queries", query.name), model=given.get("model"))
    said |= {"listing": listing, "notes": rows.notes}
    return Shown(query.name, {"rows": rows}, said=said)
