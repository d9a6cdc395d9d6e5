"""A catalog as the library holds it: where it is, and how long to wait. Nothing stays open.

DuckDB is loaded by the first call that needs it, so that `catalog --help` does without.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from catalog.store.location import DEFAULT_WAIT_S, Location, require_file

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from catalog.store.limits import Limits
    from catalog.store.reading import Parameters
    from catalog.store.remembered import Remembered
    from catalog.store.shared import SharedReader

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Handle:
    """A catalog file or lake. Each call opens it, does its work and closes it again.

    `wait_s`: how long each of them waits while another process has the file, in seconds.
    """

    location: Location
    wait_s: float = DEFAULT_WAIT_S
    limits: "Limits | None" = None
    kept: "duckdb.DuckDBPyConnection | None" = None
    """A connection that whoever keeps it open closes."""
    shared: "SharedReader | None" = None
    """Whose cursors blocks of `kept_open` get, if they have its limits."""
    known: Callable[[Hashable, Callable[[], Any]], Any] | None = field(default=None, repr=False)
    """What was asked before, of a catalog that holds the same (`remembering`)."""

    def __str__(self) -> str:
        return str(self.location)

    @property
    def is_lake(self) -> bool:
        """Whether it is a folder or a URL."""
        return isinstance(self.location, str) or self.location.is_dir()

    @property
    def file(self) -> Path:
        """The path of the catalog file.

        Raises:
            DatabaseError: it is a lake, which holds the public views alone.
        """
        return require_file(self.location)

    @contextmanager
    def reading(self, named_in: str | None = None) -> Iterator["duckdb.DuckDBPyConnection"]:
        """A read-only connection that answers the public views, or those `named_in` a text.

        Raises as `catalog.store.reading.reading`.
        """
        if self.kept is not None:
            yield self.kept
            return
        from catalog.store.reading import reading

        with reading(
            self.location, self.wait_s, named_in=named_in, limits=self.limits
        ) as connection:
            yield connection

    @contextmanager
    def kept_open(self, limits: "Limits | None" = None) -> Iterator["Handle"]:
        """The same catalog, where all that is asked in the block shares a connection and limits."""
        if self.shared is not None and self.shared.limits == limits:
            with self.shared.cursor() as cursor:
                yield replace(self, limits=limits, kept=cursor)
            return
        with replace(self, limits=limits).reading() as connection:
            yield replace(self, limits=limits, kept=connection)

    def sharing(self, limits: "Limits", idle_s: float) -> "Handle":
        """The same file, where blocks of `kept_open` with these limits share one connection.

        It stays open for `idle_s` seconds after the last of them. A lake has none to share.
        """
        if self.is_lake:
            return self
        from catalog.store.shared import SharedReader

        return replace(self, shared=SharedReader(self.file, self.wait_s, limits, idle_s))

    def remembering(self, answers: "Remembered", state: str) -> "Handle":
        """The same catalog, which in this `state` answers what it was asked before from memory."""
        return replace(self, known=partial(answers.once, state))

    def once(self, question: Hashable, ask: Callable[[], _Answer]) -> _Answer:
        """What `ask` says; where answers are remembered, it is asked once for each question.

        For small answers that many questions need: what there is, numbers of a whole model.
        """
        if self.known is None:
            return ask()
        answer: _Answer = self.known(question, ask)
        return answer

    @contextmanager
    def tables(self, named_in: str | None = None) -> Iterator["duckdb.DuckDBPyConnection"]:
        """The same to a file; it also knows the tables beneath the public views."""
        from catalog.store.reading import reading

        with reading(
            self.file, self.wait_s, beneath=True, named_in=named_in, limits=self.limits
        ) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        """One transaction; raises as `catalog.store.writing.writing`."""
        from catalog.store.writing import writing

        with writing(self.file, self.wait_s) as connection:
            yield connection

    def fetch(
        self, sql: str, parameters: "Parameters" = (), max_rows: int | None = None
    ) -> "pa.Table":
        """The rows of one of the catalog's own queries, at most `max_rows` of them."""
        if self.kept is not None:
            from catalog.store.reading import run_query

            return run_query(self.kept, sql, parameters, self.location, max_rows)
        from catalog.store.reading import fetch

        return fetch(self.location, sql, parameters, self.wait_s, max_rows)

    def fetch_checked(
        self, sql: str, parameters: "Parameters" = (), max_rows: int | None = None
    ) -> "pa.Table":
        """The rows of a user's query, if it only reads.

        Raises:
            SqlError: the SQL is wrong or not of the kind that is let through.
        """
        if self.kept is not None:
            from catalog.store.reading import run_checked

            return run_checked(self.kept, sql, parameters, self.location, max_rows)
        from catalog.store.reading import fetch_checked

        return fetch_checked(self.location, sql, parameters, self.wait_s, max_rows)

    def rows(self, sql: str, parameters: "Parameters" = ()) -> list[dict[str, Any]]:
        """A few rows of one of the catalog's own queries as dictionaries, without Arrow."""
        from catalog.store.reading import run_for_dicts

        with self.reading(sql) as connection:
            return run_for_dicts(connection, sql, parameters, self.location)
