"""Answering named queries: their rows, and what the user should know about them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from catalog.errors import SqlError, UsageError
from catalog.queries import NamedQuery
from catalog.queries.neuron_record import known_models
from catalog.queries.parameters import counted_through, require_gates, require_known
from catalog.queries.stages import missing_stages, series_command
from catalog.store.handle import Handle
from catalog.store.reading import run_query

if TYPE_CHECKING:
    import pyarrow as pa


_REFUSAL: Final = "Invalid Input Error: "
"""What DuckDB puts before the text of SQL's own `error(...)`."""


class Answer(NamedTuple):
    """Rows, and sentences about stages that they need and nobody ingested yet."""

    rows: "pa.Table"
    notes: tuple[str, ...]


def answered(catalog: Handle, query: NamedQuery, values: Mapping[str, Any]) -> Answer:
    """The rows of a named query; `values` are those of all its parameters.

    Raises:
        NotFoundError: the catalog has no such model, corpus, layer or neuron.
        UsageError: the query refuses the values, in a sentence of its own: `error(...)` in its SQL,
            or asks about the gate of models without one.
    """
    with catalog.reading() as connection:
        given = [(parameter.type, values[parameter.name]) for parameter in query.parameters]
        require_known(connection, given, catalog)
        about = query.name if query.of_a_gate else None
        require_gates(connection, [*given, ("query", about)], catalog)
        model = values.get("model")
        who = f"{model} lacks" if model else "No model has"
        notes = tuple(
            f"{who} the stage {missing.stage}. To ingest it: {missing.command}"
            for missing in missing_stages(connection, query.needs, model, catalog.location)
        )
        of_series = any(kind == "series" for kind, _ in given)
        if of_series and not any(each.series for each in known_models(catalog, connection)):
            notes += (
                f"No model is a step of a training series. To ingest one: {series_command()}",
            )
        typed = {each.name: (each.type, values[each.name]) for each in query.parameters}
        bound = {**values, **counted_through(connection, typed, catalog)}
        with _refusing():
            rows = run_query(connection, query.sql, bound, catalog.location)
    return Answer(rows, notes)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except SqlError as error:
        said = str(error)
        if not said.startswith(_REFUSAL):
            raise
        raise UsageError(said.removeprefix(_REFUSAL)) from error
