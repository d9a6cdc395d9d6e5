"""What an export reads: rows of a catalog in slices, for each of which it is opened and closed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from catalog.errors import DatabaseError, NotFoundError
from catalog.store.handle import Handle
from catalog.store.lake.slices import slices
from catalog.views import View

if TYPE_CHECKING:
    import pyarrow as pa


class Layout(NamedTuple):
    """A view's columns: names and DuckDB types, and those of a file of one model.

    `stored` are the expressions of the file's columns: without `model`, which its path states, and
    JSON as text.
    """

    columns: dict[str, str]
    stored: str


class SourceRows:
    """A catalog, a file or a lake, whose rows are exported."""

    def __init__(self, catalog: Handle) -> None:
        self.catalog = catalog

    def chosen(self, asked: Sequence[str]) -> list[str]:
        """The models asked for, or all of the catalog in the order of their aliases.

        Raises:
            NotFoundError: the catalog is empty or lacks one; the message says which there are.
        """
        there: list[str] = self._fetch("select model from models order by model")[0].to_pylist()
        if not there:
            raise NotFoundError(f"{self.catalog} holds no model, so there is nothing to export.")
        unknown = [alias for alias in asked if alias not in there]
        if unknown:
            raise NotFoundError(
                f"{self.catalog} holds no model {', '.join(map(repr, unknown))}. "
                f"There is: {', '.join(there)}."
            )
        return list(dict.fromkeys(asked)) or there

    def layouts(self, views: Sequence[View]) -> dict[str, Layout]:
        """The columns of each view, by its name."""
        layouts = {}
        with self.catalog.reading() as connection:
            for view in views:
                described = connection.execute(f"describe {view.name}").fetchall()
                columns = {name: kind for name, kind, *_ in described}
                layouts[view.name] = Layout(columns, _stored(columns))
        return layouts

    def no_rows(self, view: View, select: str) -> "pa.Table":
        """A table without rows, of the types of `select`: expressions over the view."""
        return self._fetch(f"select {select} from {view.name} limit 0")

    def slices(self, view: View, model: str, select: str) -> "Iterator[pa.Table]":
        """A model's rows in the view's order, `select` being expressions over the view.

        Raises:
            DatabaseError: they are not as many as were counted before.
        """
        conditions, n_counted = slices(self.catalog, view, model)
        n_rows = 0
        for condition, parameters in conditions:
            sql = (
                f"select {select} from {view.name} where model = $model and {condition} "
                f"order by {', '.join(view.order)}"
            )
            rows = self._fetch(sql, model=model, **parameters)
            n_rows += rows.num_rows
            yield rows
        if n_counted not in (None, n_rows):
            raise self._changed(model)

    @contextmanager
    def unchanged(self, model: str) -> Iterator[None]:
        """Refuse what was read in the block if a stage of the model was loaded meanwhile.

        Raises:
            DatabaseError: it was.
        """
        before = self._finished_runs(model)
        yield
        if self._finished_runs(model) != before:
            raise self._changed(model)

    def _finished_runs(self, model: str) -> "pa.Table":
        sql = (
            "select run_id, stage, finished_at from ingest_runs "
            "where model = $model and status = 'finished' order by run_id"
        )
        return self._fetch(sql, model=model)

    def _changed(self, model: str) -> DatabaseError:
        return DatabaseError(
            f"{model} changed in {self.catalog} while it was exported. Run the same command again "
            "when no ingest is at work on it."
        )

    def _fetch(self, sql: str, **parameters: Any) -> "pa.Table":
        return self.catalog.fetch(sql, parameters)


def _stored(columns: dict[str, str]) -> str:
    return ", ".join(
        f"{column}::varchar as {column}" if kind == "JSON" else column
        for column, kind in columns.items()
        if column != "model"
    )
