"""The shell of `catalog sql`: history, several lines, completion of views and columns."""

import sys
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
from prompt_toolkit.output import create_output
from pygments.lexers.sql import SqlLexer

from catalog.api import Catalog
from catalog.cli.describing import described
from catalog.cli.interruption import forget, nothing_to_lose
from catalog.cli.messages import error, note
from catalog.cli.output import Output
from catalog.errors import CatalogError, command_line
from catalog.visible import beneath

_HELP: Final = (
    "One SELECT, ended by a semicolon; \\d lists the views and \\d neurons the columns of one; Tab "
    "completes views and columns, Ctrl-D leaves. Try: from models;"
)


class NameCompleter(Completer):
    """Completes views, their columns, and words of SQL."""

    def __init__(self, views: dict[str, list[str]], words: list[str]) -> None:
        self._names = sorted({*views, *(name for names in views.values() for name in names)})
        self._words = words

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Names, then words of SQL, that begin as the word before the cursor does."""
        word = document.get_word_before_cursor()
        if word:
            for name in (*self._names, *self._words):
                if name.startswith(word.lower()):
                    yield Completion(name, start_position=-len(word))


def run_shell(catalog: Catalog, max_rows: int) -> None:
    """Read statements until the end of input; each opens the catalog, fetches and closes."""
    views = catalog.columns()
    session: PromptSession[str] = PromptSession(
        "catalog> ",
        multiline=True,
        prompt_continuation="     ...> ",
        lexer=PygmentsLexer(SqlLexer),
        completer=NameCompleter(views, catalog.keywords()),
        history=FileHistory(str(Path.home() / ".catalog_history")),
        key_bindings=_bindings(),
        output=create_output(beneath(sys.stdout)),
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
            _answer(catalog, statement, Output("table", None, max_rows))


def _answer(catalog: Catalog, statement: str, output: Output) -> None:
    try:
        # Again for each statement: the prompt takes signals for itself.
        with nothing_to_lose():
            rows = described(catalog, statement)
            output.write(catalog.sql(statement, max_rows=output.limit) if rows is None else rows)
    except CatalogError as refused:
        error(refused.message(command_line))
    except KeyboardInterrupt:
        forget()
        error("Interrupted.")


def _bindings() -> KeyBindings:
    """Enter runs a statement that is complete, and otherwise begins a new line."""
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.text.strip()
        is_whole = text.endswith(";") or text.startswith("\\") or text.lower() in ("exit", "quit")
        if not text or is_whole:
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return bindings
