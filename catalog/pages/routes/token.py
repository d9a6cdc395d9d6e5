"""One token: the neurons that write it, read it, and whose exemplars peak at it."""

from typing import Any, Final

from catalog.pages.asking import Asked
from catalog.pages.listing import listed, sorted_rows
from catalog.pages.shown import Shown
from catalog.rows import Rows

PATH: Final = "/tokens/{token}"

_SECTIONS: Final = (
    ("writes", "Write it", "w_out points towards (+) or away from (-) it in W_U"),
    ("reads", "Read it, as w_in", "w_in points towards (+) or away from (-) it in W_U"),
    ("gates", "Read it, as w_gate", "w_gate points towards (+) or away from (-) it in W_U"),
    ("peaks", "Peak at it", "it stands at the peak of exemplars, in any sign case"),
)
_VECTORS: Final = {"writes": "out", "reads": "in", "gates": "gate"}


def show(asked: Asked) -> Shown:
    """Named queries about the token, side by side; each list can be sorted."""
    token, model, basis = asked.path["token"], asked.text("model"), asked.text("basis")
    most = asked.settings.max_rows
    k = f"k={asked.integer('k', most)}"
    given = [f"token={token}", k, *([f"model={model}"] if model else [])]
    tables: dict[str, Rows] = {}
    for name, vector in _VECTORS.items():
        settings = [*given, f"vector={vector}", f"basis={basis or 'unembed'}"]
        tables[name] = asked.catalog.query("neurons_for_token", *settings)
    tables["peaks"] = asked.catalog.query("neurons_firing_on", *given)
    notes, is_known = tables["peaks"].notes, any(len(rows) for rows in tables.values())
    if not is_known:  # what is near it, if it is no token
        notes = (*notes, *asked.catalog.find(token=[token], model=model, k=1).notes)
    tables = {name: sorted_rows(asked, rows, f"sort_{name}") for name, rows in tables.items()}
    here = ("tokens", token)
    listings: dict[str, Any] = {
        name: listed(asked, rows, here, sort=f"sort_{name}", page=f"page_{name}")
        for name, rows in tables.items()
    }
    return Shown(
        f"Token {token}",
        tables,
        said={
            "token": token,
            "model": model,
            "basis": basis or "unembed",
            "models": asked.models(),
            "sections": _SECTIONS,
            "listings": listings,
            "notes": notes,
            "most": most,
            "is_known": is_known,
        },
    )
