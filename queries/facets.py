"""How many neurons of a model there are by class, role and layer: the counts beside each choice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from catalog.queries.finding import confined
from catalog.queries.sql import sql_text
from catalog.sought import Sought, listed
from catalog.store.handle import Handle
from catalog.store.reading import run_for_dicts

if TYPE_CHECKING:
    import pyarrow as pa


def facets(catalog: Handle, sought: Sought) -> "pa.Table":
    """How many neurons of the model there are by class, role and layer: facet, value, neurons.

    Each facet is counted among the neurons that the choices of the others allow.
    """
    import pyarrow as pa

    with catalog.reading() as connection:
        among, _ = confined(catalog, connection, sought)
        asked = {"model": sought.model} | among

        def kinds() -> list[dict[str, Any]]:
            return run_for_dicts(connection, sql_text("kinds"), asked, catalog.location)

        confined_to = tuple(sought.neurons) if sought.neurons is not None else None
        counted = _facets(catalog.once(("kinds", sought.model, confined_to), kinds), sought)
    columns = zip(*counted, strict=True) if counted else ((), (), ())
    types = (pa.string(), pa.string(), pa.int64())
    arrays = [pa.array(list(each), kind) for each, kind in zip(columns, types, strict=True)]
    return pa.table(dict(zip(("facet", "value", "neurons"), arrays, strict=True)))


def _facets(kinds: Sequence[Mapping[str, Any]], sought: Sought) -> list[tuple[str, str, int]]:
    """The rows of `facets` from how many neurons there are of each kind: layers in their order,
    classes and roles by number."""
    chosen: dict[str, Sequence[Any]] = {
        "io_class": listed(sought.io_class),
        "layer": sought.chosen_layers,
        "role": listed(sought.role),
    }
    counts: dict[str, Counter[Any]] = {facet: Counter() for facet in chosen}
    for kind in kinds:
        if sought.atypical not in (None, kind["atypical"]):
            continue
        out = [facet for facet, those in chosen.items() if those and kind[facet] not in those]
        for facet, counter in counts.items():
            if kind[facet] is not None and not set(out) - {facet}:
                counter[kind[facet]] += kind["neurons"]
    rows = []
    for facet, counter in counts.items():
        of_layers = facet == "layer"
        ordered = sorted(counter.items(), key=lambda each: each if of_layers else (-each[1], each))
        rows += [(facet, str(value), n) for value, n in ordered]
    return rows
