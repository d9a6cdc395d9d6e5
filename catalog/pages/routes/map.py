"""Every neuron of a model as a point of two quantities; a line around some of them lists them."""

from typing import TYPE_CHECKING, Any, Final

from catalog.errors import UsageError
from catalog.pages.addresses import address
from catalog.pages.asking import Asked
from catalog.pages.listing import listed, sorted_rows
from catalog.pages.shown import Shown
from catalog.reports.colours import CLASS_COLOURS, ROLE_COLOURS
from catalog.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

PATH: Final = "/m/{model}/map"

_PALETTES: Final = {"io_class": CLASS_COLOURS, "role": ROLE_COLOURS}


def show(asked: Asked) -> Shown:
    """The points in every format but HTML, which fetches them; there, those that are enclosed."""
    catalog, model = asked.catalog, asked.path["model"]
    entry = catalog.entry(model)
    choices = catalog.plane_choices()
    plane: dict[str, Any] = {
        "model": entry.model,
        "x": asked.text("x") or ("cos_gate_out" if entry.gated else "norm_out"),
        "y": asked.text("y") or "cos_in_out",
        "colour": asked.text("colour") or "io_class",
        "layer": asked.integer("layer"),
        "lasso": _corners(asked.text("lasso")),
    }
    for name, known in (("x", "quantities"), ("y", "quantities"), ("colour", "colours")):
        if plane[name] not in choices[known]:
            there = ", ".join(choices[known])
            raise UsageError(f"{name} is {plane[name]!r}; there is: {there}.")
    is_read = asked.ending is not None or asked.text("lasso") is not None
    found = catalog.points(**plane).arrow() if is_read else None
    if asked.ending == "f32" and found is not None:
        return Shown("Map", {"points": Rows(found)})
    rows = sorted_rows(asked, Rows(_named(found, plane))) if found is not None else None
    chosen = [(name, plane[name]) for name in ("x", "y", "colour", "layer")]
    here = ("m", model, "map")
    return Shown(
        f"Map of {model}",
        {"neurons": rows} if rows is not None else {},
        said={
            "model": model,
            "entry": entry,
            "plane": plane,
            "choices": choices,
            "palette": list(_PALETTES.get(plane["colour"], {}).items()),
            "points_address": address(*here, ending="f32", parameters=chosen),
            "csv_address": address(*here, ending="csv", parameters=chosen),
            "here": address(*here, parameters=chosen),
            "listing": listed(asked, rows, here, model=model) if rows is not None else None,
        },
    )


def _corners(text: str | None) -> list[tuple[float, float]]:
    """The corners of a lasso, written `x,y;x,y;...`."""
    try:
        pairs = [each.split(",") for each in (text or "").split(";") if each]
        return [(float(x), float(y)) for x, y in pairs]
    except ValueError:
        raise UsageError("lasso is not a list of corners, written x,y;x,y;x,y.") from None


def _named(points: "pa.Table", plane: dict[str, Any]) -> "pa.Table":
    """Points as neurons: their ids, and the quantities by their names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    layers, neurons = (points.column(name).cast(pa.string()) for name in ("layer", "neuron"))
    columns = {"neuron_id": pc.binary_join_element_wise(layers, neurons, ".")}
    for name in ("x", "y", "colour"):
        values = points.column(name)
        if name == "colour" and plane[name] in _PALETTES:
            names = pa.array(list(_PALETTES[plane[name]]), pa.string())
            values = pc.take(names, values.cast(pa.int32()))
        columns.setdefault(plane[name], values)
    return pa.table(columns)
