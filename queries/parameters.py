"""Parameters of named queries: how a text becomes a value, and what the catalog must hold of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from catalog.errors import NotFoundError, UsageError
from catalog.neuron_id import NeuronId
from catalog.queries.neuron_record import chosen_alias, known_models, unknown_corpus
from catalog.queries.records import Model
from catalog.store.handle import Handle
from catalog.store.reading import run_for_dicts
from catalog.taxonomy import (
    BASES,
    FUNCTIONAL_ROLES,
    LARGEST_INTEGER,
    METRICS,
    PLAIN_IO_CLASSES,
    PLAIN_SIGN_CASES,
    SIGN_CASES,
    SIGNS,
    VECTORS,
    sign_cases,
)

_COSINES: Final = ("cos_gate_in", "cos_gate_out", "cos_in_out")
_ROLE_SIGNS: Final = ("apriori", "observed")
_BOOLEANS: Final = {"true": True, "false": False}

Convert = Callable[[str], Any]


def _integer(text: str) -> int:
    value = int(text)
    if not 0 <= value <= LARGEST_INTEGER:
        raise ValueError(text)
    return value


def _step(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**63:
        raise ValueError(text)
    return value


def _double(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _kurtosis(text: str) -> str:
    return text if text == "partition" else str(_double(text))


def _one_of(names: Sequence[str]) -> tuple[Convert, str]:
    return {name: name for name in names}.__getitem__, f"{', '.join(names[:-1])} or {names[-1]}"


_TYPES: Final[Mapping[str, tuple[Convert, str]]] = {
    "text": (str, "text"),
    "integer": (_integer, f"a whole number from 0 to {LARGEST_INTEGER}"),
    "double": (_double, "a number"),
    "fraction": (_fraction, "a number between 0 and 1"),
    "boolean": (lambda text: _BOOLEANS[text.lower()], "true or false"),
    "vector": _one_of(VECTORS),
    "basis": _one_of(BASES),
    "sign": _one_of(SIGNS),
    "sign_case": _one_of((*SIGN_CASES, *PLAIN_SIGN_CASES)),
    "metric": _one_of(METRICS),
    "role": _one_of(FUNCTIONAL_ROLES),
    "role_sign": _one_of(_ROLE_SIGNS),
    "kurtosis": (_kurtosis, "a number, or partition"),
    "cosine": _one_of(_COSINES),
    "model": (str, "a model"),
    "corpus": (str, "a corpus"),
    "layer": (_integer, "a layer, a whole number from 0"),
    "series": (str, "a training series"),
    "step": (_step, "a step, a whole number from 0"),
    "neuron": (lambda text: str(NeuronId.parse(text)), "a neuron id"),
}
"""How a parameter's text becomes its value, and what to call that."""

_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "boolean": tuple(_BOOLEANS),
    "vector": VECTORS,
    "basis": BASES,
    "sign": SIGNS,
    "sign_case": SIGN_CASES,
    "role": FUNCTIONAL_ROLES,
    "role_sign": _ROLE_SIGNS,
    "cosine": _COSINES,
}


_OF_A_GATE: Final[Mapping[str, Callable[[Any], bool]]] = {
    "query": bool,
    "vector": lambda vector: vector == "gate",
    "cosine": lambda cosine: "gate" in cosine,
    "io_class": lambda io_class: io_class not in PLAIN_IO_CLASSES,
    "atypical": bool,
}
"""By the type of a value, whether it asks about what a neuron without a gate does not have."""


def _never(_: Any) -> bool:
    return False


@dataclass(frozen=True)
class Parameter:
    """A value that a query takes; `default` is None for NULL."""

    name: str
    type: str
    required: bool
    default: Any
    doc: str

    @property
    def usage(self) -> str:
        """How it is given: by name, and the kind of its value."""
        return f"{self.name}={self.type.upper()}"

    @property
    def meaning(self) -> str:
        """What it means, the values there are, and its default."""
        choices = f" ({', '.join(self.choices)})" if self.choices else ""
        if self.required:
            default = " [required]"
        else:
            default = "" if self.default is None else f" [default: {self.default}]"
        return f"{self.doc}{choices}{default}"

    @property
    def choices(self) -> tuple[str, ...]:
        """The values there are, of a type that is a list of names; else none."""
        return _CHOICES.get(self.type, ())

    def value(self, text: str) -> Any:
        """`text` as a value of the parameter's type.

        Raises:
            UsageError: it is not of that type.
        """
        convert, kind = _TYPES[self.type]
        try:
            return convert(text)
        except (ValueError, KeyError):
            raise UsageError(f"{self.name}={text} is not {kind}; it means: {self.doc}.") from None


def require_gates(
    connection: duckdb.DuckDBPyConnection,
    given: Sequence[tuple[str, Any]],
    catalog: Handle,
) -> None:
    """Refuse a question about the gate, or about sign cases, of models that have none such.

    `given` as in `require_known`, where a value of type 'query' says what as a whole is about the
    gate. Of several models it is enough that one can answer.

    Raises:
        UsageError: none can; the message says what their neurons have.
    """
    named = next((value for kind, value in given if kind == "model"), None)
    models = known_models(catalog, connection)
    asked = [model for model in models if named in (None, model.model)]
    who = named or "no model here"
    for kind, value in given:
        if value is None or not asked:
            continue
        if kind == "sign_case":
            cases = [case for model in asked for case in sign_cases(gated=model.gated)]
            if value not in cases:
                there = ", ".join(dict.fromkeys(cases))
                raise UsageError(f"There is no sign case {value} in {who}; there is: {there}.")
        elif _OF_A_GATE.get(kind, _never)(value) and not any(model.gated for model in asked):
            what = value if kind == "query" else kind if value is True else f"{kind} {value}"
            has = "has one" if named is None else "has none"
            raise UsageError(
                f"{what} is about the gate, and {who} {has}: neurons of a plain MLP have w_in and "
                "w_out."
            )


def require_known(
    connection: duckdb.DuckDBPyConnection,
    given: Sequence[tuple[str, Any]],
    catalog: Handle,
) -> None:
    """Refuse models, corpora, layers and neurons that are not in the catalog.

    `given` are pairs of a type and a value or None; what is not a model is looked for in the first
    of them, or in all models; a layer in the last of them.

    Raises:
        NotFoundError: one is not; the message says which there are.
    """
    named = [value for kind, value in given if kind == "model"]
    models = known_models(catalog, connection)
    for alias in named:
        if alias is not None:
            chosen_alias([each.model for each in models], catalog.location, alias)
    within = named[0] if named else None

    def rows(select: str) -> list[dict[str, Any]]:
        sql = f"{select} where $1 is null or model = $1 order by all"
        return run_for_dicts(connection, sql, [within], catalog.location)

    for kind, value in given:
        if value is None:
            continue
        if kind == "corpus":
            names = [row["corpus"] for row in rows("select distinct corpus from corpora")]
            if value not in names:
                raise unknown_corpus(value, names, f"{within} has no" if within else "No model has")
        elif kind in ("series", "step"):
            _require_step(rows("select distinct series, step from models"), given, kind, value)
        elif kind in ("layer", "neuron"):
            neuron_id = NeuronId(value, 0) if kind == "layer" else NeuronId.parse(value)
            of = named[-1] if named and kind == "layer" else within
            found_in(neuron_id, [each for each in models if of in (None, each.model)])


def _require_step(
    rows: Sequence[Mapping[str, Any]], given: Sequence[tuple[str, Any]], kind: str, value: Any
) -> None:
    """Refuse a series that is not there, and a step that it, or every series, lacks."""
    within = next((value for kind, value in given if kind == "series"), None)
    there = [row for row in rows if row["series"] is not None]
    if kind == "step":
        there = [row for row in there if within in (None, row["series"])]
    names = list(dict.fromkeys(str(row[kind]) for row in there))
    if str(value) not in names:
        of = f"{within} has no" if within and kind == "step" else "There is no"
        raise NotFoundError(f"{of} {kind} {value}. There is: {', '.join(names) or 'none'}.")


def found_in(neuron_id: NeuronId, models: Sequence[Model]) -> dict[str, NeuronId]:
    """The neuron, counted through its layer, in each of the models that has it.

    Raises:
        NotFoundError: none has; the message is about the last, which has the most layers.
    """
    found, refusal = {}, None
    for model in models:
        try:
            found[model.model] = neuron_id.resolved(model.sizes, model.model)
        except NotFoundError as error:
            refusal = error
    if not found and refusal is not None:
        raise refusal
    return found


def counted_through(
    connection: duckdb.DuckDBPyConnection,
    given: Mapping[str, tuple[str, Any]],
    catalog: Handle,
) -> dict[str, Any]:
    """Values by the names of parameters, ids of experts' neurons as `layer.neuron`.

    `given` are pairs of a type and a value by name.

    Raises:
        NotFoundError: an id that no model has.
        UsageError: an expert's id that is another neuron in each of several models.
    """
    values = {name: value for name, (_, value) in given.items()}
    named = next((value for kind, value in given.values() if kind == "model"), None)
    for name, (kind, value) in given.items():
        if kind != "neuron" or value is None or (at := NeuronId.parse(value)).expert is None:
            continue
        known = known_models(catalog, connection)
        models = [each for each in known if named in (None, each.model)]
        ids = {str(each) for each in found_in(at, models).values()}
        if len(ids) > 1:
            raise UsageError(f"{value} is another neuron in each of several models; name one.")
        values[name] = next(iter(ids), value)
    return values
