"""Neurons by class, role, layer and token: the everyday question without SQL."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from catalog.errors import UsageError
from catalog.queries.parameters import require_gates, require_known
from catalog.queries.sql import sql_text
from catalog.store.handle import Handle
from catalog.store.reading import run_query
from catalog.taxonomy import BASES, FUNCTIONAL_ROLES, IO_CLASSES, ORDERS, SIGNS, VECTORS

if TYPE_CHECKING:
    import pyarrow as pa

_CHOICES: Final[dict[str, Sequence[str]]] = {
    "io_class": IO_CLASSES,
    "role": FUNCTIONAL_ROLES,
    "vector": VECTORS,
    "sign": SIGNS,
    "basis": BASES,
    "order": ORDERS,
}


@dataclass(frozen=True)
class Sought:
    """What neurons are looked for; None leaves a choice open.

    `first_layer`, `last_layer`: a range, both or neither. `token` is among the top tokens of
    `vector` (any), at the end `sign` (either), in `basis`. `order`: what comes first, the largest;
    skew and cosines by magnitude. `k`: how many.

    Raises UsageError for a choice that there is not.
    """

    model: str | None = None
    io_class: str | None = None
    atypical: bool | None = None
    role: str | None = None
    first_layer: int | None = None
    last_layer: int | None = None
    token: str | None = None
    vector: str | None = None
    sign: str | None = None
    basis: str = "unembed"
    order: str = "kurtosis"
    k: int = 20

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise UsageError(f"{name} is {value!r}; there is: {', '.join(choices)}.")
        if self.k < 1:
            raise UsageError(f"k is {self.k}; it must be at least 1.")


def found(catalog: Handle, sought: Sought) -> "pa.Table":
    """The neurons that are so, one row each.

    Raises:
        NotFoundError: the catalog has no such model or layer.
        UsageError: it is about the gate, and no model that is asked has one.
    """
    with catalog.reading() as connection:
        given = [("model", sought.model), ("layer", sought.last_layer)]
        require_known(connection, given, catalog.location)
        of_a_gate = {
            "vector": sought.vector,
            "io_class": sought.io_class,
            "atypical": sought.atypical,
            "cosine": sought.order,
        }
        require_gates(connection, [*given, *of_a_gate.items()], catalog.location)
        return run_query(connection, sql_text("find"), asdict(sought), catalog.location)
