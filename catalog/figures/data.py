"""What figures read: the entries they show, and rows of queries over the public views."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from catalog.errors import Command, NotFoundError, Option, UsageError
from catalog.neuron_id import NamedNeuron
from catalog.queries import named_query
from catalog.queries.asking import answered
from catalog.queries.neuron_record import chosen_model, known_models, no_model_yet, read_neuron
from catalog.queries.records import Model, NeuronRecord
from catalog.queries.stages import missing_stages
from catalog.store.handle import Handle
from catalog.store.reading import run_query

if TYPE_CHECKING:
    import pyarrow as pa


class FigureData:
    """The catalog as a figure sees it; nothing is opened before the figure asks."""

    def __init__(self, catalog: Handle, names: Sequence[str] = ()) -> None:
        self._catalog = catalog
        self._names = list(dict.fromkeys(names))

    def check_names(self) -> None:
        """Refuse unknown names, also for a figure that does not read the catalog."""
        if self._names:
            _ = self.models

    @property
    def named_models(self) -> list[Model]:
        """Rows of `models` for the names given, none without names."""
        return self.models if self._names else []

    @cached_property
    def models(self) -> list[Model]:
        """Rows of `models`: those named, in that order, or all.

        Raises:
            NotFoundError: the catalog is empty or lacks one of the names.
        """
        with self._catalog.reading() as connection:
            if self._names:
                return [chosen_model(self._catalog, connection, name) for name in self._names]
            models = known_models(self._catalog, connection)
        if not models:
            raise no_model_yet(self._catalog)
        return models

    @cached_property
    def series(self) -> list[str]:
        """The training series of the models.

        Raises:
            NotFoundError: none of them is of a series.
        """
        names = sorted({model.series for model in self.models if model.series is not None})
        if not names:
            raise NotFoundError(
                "There is nothing to draw: no model here is a step of a training series.",
                "To ingest one: ",
                Command("ingest", ("MODEL",), (Option("revisions", "GLOB"),)),
            )
        return names

    def query_of_series(self, name: str, series: str, **parameters: Any) -> "pa.Table":
        """Rows of a named query about one series, other parameters at their defaults.

        Raises:
            NotFoundError: there are none, or the series lacks a step that is asked for.
        """
        query = named_query(name)
        return answered(
            self._catalog, query, query.bound([]) | parameters | {"series": series}
        ).rows

    def where_there_is_some(
        self, rows_of: Callable[[Model], "pa.Table"]
    ) -> Iterator[tuple[Model, "pa.Table"]]:
        """Each model with its rows; of all models those that have some.

        Raises:
            NotFoundError: a model that was named, or every model, has none.
        """
        some = False
        for model in self.models:
            try:
                rows = rows_of(model)
            except NotFoundError:
                if self.named_models or (model is self.models[-1] and not some):
                    raise
                continue
            some = True
            yield model, rows

    def neuron(self, neuron: str, corpus: str | None) -> NeuronRecord:
        """What is known of a neuron, `model:28.4737` or one of the model named, or the only one.

        Raises:
            UsageError, NotFoundError: as `read_neuron`; several models are named.
        """
        if len(self._names) > 1:
            raise UsageError("A neuron is of one model: name that alone.")
        named = NamedNeuron.parse(neuron)
        of = named.model_or(self._names[0] if self._names else None)
        return read_neuron(self._catalog, named.id, of, corpus)

    def named_query(self, name: str, model: Model, **parameters: Any) -> "pa.Table":
        """Rows of a named query about one model, other parameters at their defaults."""
        query = named_query(name)
        return self._rows(query.sql, query.bound([]) | parameters, model, query.needs)

    def own_query(
        self, name: str, model: Model, needs: Sequence[str] = (), **parameters: Any
    ) -> "pa.Table":
        """Rows of a figure's own query, `<name>.sql` beside this module, about one model.

        `needs`: the stages it reads rows of.
        """
        sql = (files(__package__) / f"{name}.sql").read_text(encoding="utf-8")
        return self._rows(sql, parameters, model, needs)

    def _rows(
        self, sql: str, parameters: dict[str, Any], model: Model, needs: Sequence[str]
    ) -> "pa.Table":
        where = self._catalog.location
        with self._catalog.reading() as connection:
            rows = run_query(connection, sql, parameters | {"model": model.model}, where)
            missing = [] if rows.num_rows else missing_stages(connection, needs, model.model, where)
        if missing:
            raise NotFoundError(
                f"There is nothing to draw of {model.model}: it lacks the stage "
                f"{missing[0].stage}. To ingest it: {missing[0].command}"
            )
        if rows.num_rows == 0:
            raise NotFoundError(
                f"There is nothing to draw of {model.model}: the catalog holds no such neurons "
                "of it.",
                "`",
                Command("models"),
                "` lists finished stages and numbers of layers.",
            )
        return rows


def no_change(series: str) -> NotFoundError:
    """The refusal to draw a change where a series has no two steps for it."""
    return NotFoundError(
        f"There is nothing to draw of {series}: a change takes two of its steps, an earlier and "
        "a later one."
    )
