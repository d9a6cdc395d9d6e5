"""Questions of rows: SQL, named queries, what there is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from catalog.api.declared import by_fields_of
from catalog.api.opened import Opened
from catalog.errors import NotFoundError, SqlError
from catalog.rows import Rows
from catalog.sought import CHOICES, Sought

if TYPE_CHECKING:
    from catalog.queries import NamedQuery
    from catalog.queries.records import Model


class Asking(Opened):
    """Rows of a catalog."""

    def sql(
        self,
        query: str,
        parameters: Sequence[object] | Mapping[str, object] = (),
        max_rows: int | None = None,
    ) -> Rows:
        """Run one SELECT over the public views; `$1` or `$name` are bound.

        Raises:
            SqlError: the SQL is wrong, or more than one SELECT.
        """
        try:
            return Rows(self._handle.fetch_checked(query, parameters, max_rows))
        except SqlError as error:
            from catalog.queries.near_names import with_near_names

            raise SqlError(with_near_names(error.said, self.columns())) from error

    def describe(self, view: str | None = None) -> Rows:
        """The columns of a public view with their types and meanings; without one, the views.

        Raises:
            NotFoundError: there is no such view; the message says which there are.
        """
        from catalog.queries.sql import sql_text

        if view is None:
            return Rows(self._handle.fetch_checked(sql_text("public_views")))
        asked = {"view": view.lower()}
        found = self._handle.fetch_checked(sql_text("view_columns"), asked)
        if not found.num_rows:
            raise NotFoundError(
                f"There is no view {view!r}. There is: {', '.join(self.columns())}."
            )
        return Rows(found)

    def query(self, name: str, *settings: str, **parameters: Any) -> Rows:
        """Run a named query, e.g. `query("classes_by_layer", threshold=0.4)`.

        Parameters are given by name, or as texts `key=value`. `notes` name stages that the rows
        need and nobody ingested yet.

        Raises:
            UsageError: an unknown or missing parameter, or a value of the wrong type.
        """
        from catalog.queries import named_query
        from catalog.queries.asking import answered

        asked = named_query(name)
        texts = [f"{key}={_as_text(value)}" for key, value in parameters.items()]
        return Rows(*answered(self._handle, asked, asked.bound([*settings, *texts])))

    def models(self) -> Rows:
        """One row per entry, with its finished stages."""
        from catalog.queries.sql import sql_text

        return Rows(self._handle.fetch(sql_text("models")))

    def steps(self) -> Rows:
        """The entries of training series in order: series, step, model."""
        from catalog.queries.sql import sql_text

        return Rows(self._handle.fetch(sql_text("steps")))

    def entry(self, model: str | None = None) -> "Model":
        """The row of `models` of an alias, which may be left out where there is only one."""
        from catalog.queries.neuron_record import read_model

        return read_model(self._handle, model)

    def corpora(self, model: str) -> list[str]:
        """Names of the corpora on which a model's activations are shown."""
        from catalog.queries.neuron_record import read_corpora

        return [each.corpus for each in read_corpora(self._handle, model)]

    def tokens_with(self, text: str, model: str | None = None, k: int = 50) -> Rows:
        """Tokens of the vocabularies that contain a text, the shortest first, at most `k`."""
        from catalog.queries.sql import sql_text

        parameters = {"text": text, "model": model, "k": k}
        return Rows(self._handle.fetch(sql_text("tokens_with"), parameters))

    def columns(self) -> dict[str, list[str]]:
        """The names of the public views, each with those of its columns."""
        from catalog.queries.sql import sql_text

        views: dict[str, list[str]] = {}
        for row in self._handle.rows(sql_text("columns")):
            views.setdefault(row["view"], []).append(row["column"])
        return views

    def keywords(self) -> list[str]:
        """The words of the SQL dialect."""
        from catalog.queries.sql import sql_text

        return [row["word"] for row in self._handle.rows(sql_text("keywords"))]

    def named(self, name: str) -> "NamedQuery":
        """A named query: what it answers, its parameters, its SQL."""
        from catalog.queries import named_query

        return named_query(name)

    def queries(self) -> Rows:
        """The named queries: name, parameters, what each answers."""
        from catalog.queries import listing

        return Rows(listing())

    @by_fields_of(Sought)
    def find(self, sought: Sought) -> Rows:
        """Neurons by class, role, layer and token: `find(token=[" May", " June"], vector="out")`.

        `notes` say which pieces of the vocabulary matched, and which are near where none did;
        `total` how many rows there are without the limit `k`.
        """
        from catalog.queries.finding import found

        return Rows(*found(self._handle, sought))

    def choices(self) -> "Mapping[str, Sequence[str]]":
        """What there is to choose among in `find`, by the name of the choice."""
        return CHOICES

    @by_fields_of(Sought)
    def facets(self, sought: Sought) -> Rows:
        """How many neurons of a model there are by class, role and layer, for the same choices."""
        from catalog.queries.facets import facets

        return Rows(facets(self._handle, sought))

    def plane_choices(self) -> "Mapping[str, Sequence[str]]":
        """What `points` may be placed and coloured by: quantities and colours."""
        from catalog.queries.points import COLOURS, QUANTITIES

        return {"quantities": QUANTITIES, "colours": COLOURS}

    def classified(
        self, cos_gate_in: float, cos_gate_out: float, cos_in_out: float
    ) -> tuple[str, bool]:
        """The IO class that three cosines have at 0.5, and whether it is atypical."""
        from catalog.queries.sql import sql_text

        given = {"gate_in": cos_gate_in, "gate_out": cos_gate_out, "in_out": cos_in_out}
        (row,) = self._handle.rows(sql_text("classified"), given)
        return row["io_class"], row["atypical"]

    def points(self, **plane: Any) -> Rows:
        """Neurons as points of two quantities; takes the fields of `catalog.queries.points.Plane`.

        Raises:
            UsageError: a quantity that there is not.
        """
        from catalog.queries.points import Plane, points

        return Rows(points(self._handle, Plane(**plane)))

    def plot(
        self,
        figure: str,
        models: Sequence[str] = (),
        file_format: str = "png",
        **options: Any,
    ) -> bytes:
        """A figure of the paper as the bytes of a .png, .svg or .pdf; without `models`, of all.

        Raises:
            UsageError: an option that the figure does not have.
        """
        from catalog.figures import render
        from catalog.figures.data import FigureData

        return render(figure, FigureData(self._handle, models), file_format, **options)

    def summary(self, model: str) -> list[tuple[str | None, int]]:
        """Neurons of an entry by IO class, the largest class first; None for those without one."""
        from catalog.queries.sql import sql_text

        rows = self._handle.rows(sql_text("class_counts"), [model])
        return [(row["io_class"], row["neurons"]) for row in rows]

    def ablation_places(self, ablation_id: str, metric: str = "loss", k: int = 3) -> Rows:
        """The k positions where an ablated subset raised a metric most, and lowered it, with their
        text."""
        from catalog.queries.sql import sql_text
        from catalog.store.reading import run_query

        parameters = {"ablation": ablation_id, "metric": metric, "k": k}
        sql = sql_text("ablation_places")
        with self._handle.tables(sql) as connection:
            return Rows(run_query(connection, sql, parameters, self._handle.location))

    def state(self) -> str:
        """A digest of all that the entries hold, from those of their rows."""
        from catalog.queries.sql import sql_text

        return str(self._handle.rows(sql_text("state"))[0]["state"])


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
