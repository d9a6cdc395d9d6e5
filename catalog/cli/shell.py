"""The shell of `catalog sql`: history, several lines, completion of views and columns."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

from catalog.cli.formats import write_rows
from catalog.cli.messages import error, note
from catalog.errors import CatalogError
from catalog.store.location import Location
from catalog.store.reading import fetch, fetch_checked

_HELP: Final = (
    "One SELECT, ended by a semicolon; Tab completes views and columns, Ctrl-D leaves. "
    "Try: from models;"
)
_WORDS: Final = (
    "select",
    "from",
    "where",
    "group",
    "by",
    "order",
    "limit",
    "having",
    "join",
    "using",
    "with",
    "as",
    "distinct",
    "count",
    "avg",
    "median",
    "min",
    "max",
    "sum",
    "filter",
    "over",
    "partition",
    "and",
    "or",
    "not",
    "null",
    "is",
    "like",
    "ilike",
    "between",
    "in",
    "case",
    "when",
    "then",
    "else",
    "end",
    "desc",
    "asc",
    "nulls",
    "last",
    "describe",
    "show",
    "tables",
    "summarize",
    "explain",
    "io_classes",
)


class NameCompleter(Completer):
    """Completes views, their columns, and words of SQL."""

    def __init__(self, views: dict[str, list[str]]) -> None:
        self._names = sorted({*views, *(name for names in views.values() for name in names)})

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Names, then words of SQL, that begin as the word before the cursor does."""
        word = document.get_word_before_cursor()
        if word:
            for name in (*self._names, *_WORDS):
                if name.startswith(word.lower()):
                    yield Completion(name, start_position=-len(word))


def run_shell(db: Location, max_rows: int, wait_s: float) -> None:
    """Read statements until the end of input; each opens the catalog, fetches and closes."""
    columns = fetch(
        db,
        "select table_name, column_name from duckdb_columns() "
        "where table_name in (select view_name from duckdb_views() where not internal) "
        "order by all",
        wait_s=wait_s,
    ).to_pylist()
    views: dict[str, list[str]] = {}
    for row in columns:
        views.setdefault(row["table_name"], []).append(row["column_name"])
    session: PromptSession[str] = PromptSession(
        "catalog> ",
        multiline=True,
        prompt_continuation="     ...> ",
        lexer=PygmentsLexer(SqlLexer),
        completer=NameCompleter(views),
        history=FileHistory(str(Path.home() / ".catalog_history")),
        key_bindings=_bindings(),
    )
    note(_HELP)
    while True:
        try:
            statement = session.prompt().strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            continue
        if statement.rstrip(";").strip().lower() in ("exit", "quit"):
            return
        if statement:
            _answer(db, statement, max_rows, wait_s)


def _answer(db: Location, statement: str, max_rows: int, wait_s: float) -> None:
    try:
        rows = fetch_checked(
            db, statement, wait_s=wait_s, max_rows=max_rows + 1 if max_rows else None
        )
        write_rows(rows, "table", None, max_rows)
    except CatalogError as refused:
        error(str(refused))
    except KeyboardInterrupt:
        error("Interrupted.")


def _bindings() -> KeyBindings:
    """Enter runs a statement that is complete, and otherwise begins a new line."""
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.text.strip()
        if not text or text.endswith(";") or text.lower() in ("exit", "quit"):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return bindings
